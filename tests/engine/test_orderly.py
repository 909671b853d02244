"""A place in a run's events that leaves things out: what follows from that for who waits for it."""

import asyncio
import itertools

from tests.engine.house import SOON_S

from understudy.bus.base import EventId, LiveEvent
from understudy.engine.orderly import Orderly
from understudy.protocol.events import Event


def told(name: str, of: str, *, attempt: int = 2, n: int = 1) -> LiveEvent:
    return LiveEvent(EventId(attempt, n), Event(name, f'{{"id":"{of}"}}'))


class Chatty:
    """A place where something comes all the time, of a message that began before it."""

    def __init__(self) -> None:
        self.count = itertools.count(1)

    async def next(self, timeout_s: float) -> LiveEvent | None:
        await asyncio.sleep(0.001)
        return told("thread.message.delta", "msg_1", n=next(self.count))


async def test_what_is_left_out_keeps_nobody_waiting_for_ever() -> None:
    place = Orderly(Chatty())
    assert await asyncio.wait_for(place.next(0.02), SOON_S) is None
    assert next(place._place.count) > 2, "and is passed by"  # type: ignore[attr-defined]


async def test_an_end_in_a_row_may_be_of_before_a_pause() -> None:
    end = told("thread.message.completed", "msg_1").event
    assert Orderly(Chatty()).lacks_beginning(end)
    assert not Orderly(Chatty(), passed=1).lacks_beginning(end)
    assert Orderly(Chatty(), passed=1).lacks_beginning(end, 2)
    assert not Orderly(Chatty(), passed=1).lacks_beginning(end, 1)
    assert not Orderly(Chatty(), after=EventId(1, 1)).lacks_beginning(end, 2)
    assert not Orderly(Chatty(), finished=frozenset()).lacks_beginning(end, 2)
    assert not Orderly(Chatty(), unfinished=frozenset({"msg_1"})).lacks_beginning(end, 2)
    assert not Orderly(Chatty()).lacks_beginning(told("thread.run.completed", "run_1").event)
