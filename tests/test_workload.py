"""A worker's hands: as many jobs as there is room for, leases kept, nothing held after a stop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from understudy import workload
from understudy.bus.local import LocalBus
from understudy.errors import Unavailable
from understudy.testing import FakeClock
from understudy.workload import Held, Workload

LEASE_S = 0.03
SOON_S = 5.0


class Desk:
    """A workload whose jobs wait at a gate and whose leases are lost or kept as the test says."""

    def __init__(self, bus: LocalBus, concurrency: int = 2) -> None:
        self.bus = bus
        self.gate = asyncio.Event()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.renewed = asyncio.Event()
        self.lost: set[str] = set()
        self.fault: Exception | None = None
        self.failure: Exception | None = None
        self.load: Workload[str] = Workload(
            bus, "runs", "a run", self.do, self.renew, lease_s=LEASE_S, concurrency=concurrency
        )

    async def do(self, job: str) -> None:
        self.begun.append(job)
        with self.load.hold(job) as held:
            async with self.bus.signalled(job) as signal:
                working = asyncio.ensure_future(self.gate.wait())
                await held.watch(working, signal.wait())
                working.cancel()
        if self.failure is not None:
            raise self.failure
        self.ended.append(job)

    async def renew(self, held: Sequence[Held[str]]) -> list[Held[str]]:
        self.renewed.set()
        if self.fault is not None:
            raise self.fault
        return [each for each in held if each.record in self.lost]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    bus = LocalBus(FakeClock())
    desk = Desk(bus)
    serving = asyncio.create_task(desk.load.serve())
    yield desk
    await desk.load.stop()
    await bus.close()
    await asyncio.wait_for(serving, SOON_S)


async def seen(what: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON_S):
        while not what():  # noqa: ASYNC110  # what is waited for tells nobody
            await asyncio.sleep(0.001)


async def begun(desk: Desk, *jobs: str) -> None:
    for job in jobs:
        await desk.bus.enqueue(job)
    await seen(lambda: len(desk.begun) == len(jobs))


async def test_a_job_is_taken_only_when_there_is_room(desk: Desk) -> None:
    for job in ("a", "b", "c"):
        await desk.bus.enqueue(job)
    await seen(lambda: len(desk.begun) == 2)
    await asyncio.sleep(0.01)
    assert desk.begun == ["a", "b"]
    assert await desk.bus.depth() == 1
    desk.gate.set()
    await seen(lambda: len(desk.ended) == 3)


async def test_a_signal_calls_one_job_off(desk: Desk) -> None:
    await begun(desk, "a", "b")
    await desk.bus.signal("a")
    await seen(lambda: desk.ended == ["a"])


async def test_a_lost_lease_calls_the_job_off(desk: Desk) -> None:
    await begun(desk, "a", "b")
    desk.lost = {"b"}
    await seen(lambda: desk.ended == ["b"])


@pytest.mark.parametrize("fault", [Unavailable("the disk is full"), KeyError("a defect")])
async def test_leases_are_renewed_again_after_a_fault(
    desk: Desk, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    desk.fault = fault
    await begun(desk, "a")
    await asyncio.wait_for(desk.renewed.wait(), SOON_S)
    await seen(lambda: "leases could not be renewed" in caplog.text)
    desk.fault = None
    desk.lost = {"a"}
    await seen(lambda: desk.ended == ["a"])


async def test_who_has_nothing_in_hand_renews_nothing(desk: Desk) -> None:
    await asyncio.sleep(LEASE_S)
    assert not desk.renewed.is_set()


@pytest.mark.parametrize(("failure", "level"), [(Unavailable("off"), logging.WARNING), (KeyError("x"), logging.ERROR)])
async def test_a_job_that_fails_frees_its_place_and_is_told(
    desk: Desk, failure: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    desk.failure = failure
    desk.gate.set()
    await begun(desk, "a", "b", "c")
    await seen(lambda: len([each for each in caplog.records if each.name == workload.__name__]) == 3)
    [told, *_] = [each for each in caplog.records if each.name == workload.__name__]
    assert told.levelno == level
    assert told.getMessage().startswith("a run could not be brought to an end; the sweeper will see to it")


async def test_a_stop_cancels_what_is_under_way_and_takes_nothing_more(desk: Desk) -> None:
    await begun(desk, "a", "b")
    await asyncio.wait_for(desk.load.stop(), SOON_S)
    await desk.bus.enqueue("c")
    await asyncio.sleep(0.01)
    assert desk.begun == ["a", "b"]
    assert desk.ended == []


async def test_a_stop_does_not_wait_for_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "STOP_S", 0.02)
    bus, free = LocalBus(FakeClock()), asyncio.Event()

    async def stubborn(job: str) -> None:
        try:
            await free.wait()
        except asyncio.CancelledError:
            await free.wait()

    load = Workload[str](bus, "runs", "a run", stubborn, _nothing_lost, lease_s=LEASE_S, concurrency=1)
    serving = asyncio.create_task(load.serve())
    await bus.enqueue("a")
    await seen(lambda: load.tasks)
    await asyncio.sleep(0.001)
    await asyncio.wait_for(load.stop(), SOON_S)
    free.set()
    await bus.close()
    await asyncio.wait_for(serving, SOON_S)


async def _nothing_lost(held: Sequence[Held[str]]) -> list[Held[str]]:
    return []
