"""A follower's place in a stream at NATS: what it hears, what it misses, and what comes while it fetches."""

import json
from collections.abc import Callable, Sequence

import pytest
from nats.errors import NoRespondersError
from tests.bus.bus_contract import told

from understudy.bus.nats_log import Follower, LogReader, Stored, encoded

SUBJECT = "understudy.run.run_1"


class Log(LogReader):
    """A stream that is read from memory. `meanwhile` happens once, after the next look and before its answer."""

    def __init__(self) -> None:
        super().__init__("EVENTS")
        self.kept: list[Stored] = []
        self.looks = 0
        self.failing = False
        self.meanwhile: Callable[[], None] | None = None

    def keep(self, *places: int) -> list[Stored]:
        self.kept += [
            Stored(place, SUBJECT, content) for place in places for content, _ in encoded(1, [told(place)], 9999)
        ]
        return self.kept[-len(places) :]

    async def since(self, subject: str, sequence: int) -> list[Stored]:
        self.looks += 1
        if self.failing:
            raise NoRespondersError
        found = [stored for stored in self.kept if stored.sequence >= sequence]
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        return found


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def generation() -> list[int]:
    return [0]


@pytest.fixture
def follower(log: Log, generation: list[int]) -> Follower:
    return Follower(SUBJECT, log, lambda: generation[0])


async def places(follower: Follower, count: int) -> list[int]:
    found = [await follower.next(0) for _ in range(count)]
    assert await follower.next(0) is None
    return [json.loads(live.event.data)["n"] for live in found if live is not None]


def hear(follower: Follower, messages: Sequence[Stored], before: int) -> None:
    for stored in messages:
        follower.take(stored, before)
        before = stored.sequence


async def test_what_is_heard_in_order_needs_no_look(log: Log, follower: Follower) -> None:
    hear(follower, log.keep(1, 4, 9), 0)
    assert await places(follower, 3) == [1, 4, 9]
    assert log.looks == 0


async def test_a_hole_is_filled_by_one_look(log: Log, follower: Follower) -> None:
    log.keep(1, 2, 3)
    hear(follower, log.keep(4), 3)
    assert await places(follower, 4) == [1, 2, 3, 4]
    assert log.looks == 1


async def test_what_comes_while_a_hole_is_filled_is_not_lost(log: Log, follower: Follower) -> None:
    log.keep(1, 2)
    hear(follower, log.keep(3), 2)
    log.meanwhile = lambda: hear(follower, log.keep(4, 5), 3)
    assert await places(follower, 5) == [1, 2, 3, 4, 5]


async def test_what_comes_while_a_broken_connections_loss_is_fetched_is_not_lost(
    log: Log, follower: Follower, generation: list[int]
) -> None:
    log.keep(1, 2, 3)
    generation[0] += 1
    log.meanwhile = lambda: hear(follower, log.keep(4), 3)
    assert await places(follower, 4) == [1, 2, 3, 4]


async def test_what_could_not_be_fetched_is_fetched_later(log: Log, follower: Follower, generation: list[int]) -> None:
    log.failing = True
    log.keep(1)
    hear(follower, log.keep(2), 1)
    generation[0] += 1
    assert await follower.next(0) is None
    log.failing = False
    assert await places(follower, 2) == [1, 2]
    looks = log.looks
    assert await follower.next(0) is None
    assert log.looks == looks


async def test_what_is_gone_is_not_looked_for_in_a_circle(log: Log, follower: Follower) -> None:
    hear(follower, log.keep(7), 6)
    log.kept.clear()
    assert await follower.next(0) is None
    assert log.looks <= 2
