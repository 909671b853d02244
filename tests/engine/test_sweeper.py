"""Runs that nobody looks after: past their time, or held by nobody."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.engine.house import HAPPY_PATH, LEASE_S, SOON_S, House, bodies, names, speaking_run, waiting_run
from tests.storage.builders import NOW

from understudy.engine import sweeper
from understudy.engine.sweeper import QUEUE_PATIENCE_S
from understudy.storage.base import Store
from understudy.testing import say


async def test_a_queued_run_expires(house: House) -> None:
    started = await house.start()
    house.clock.advance(599)
    await house.sweeper.sweep()
    assert (await house.run(started.run.id)).status == "queued"
    house.clock.advance(1)
    await house.sweeper.sweep()
    run = await house.run(started.run.id)
    assert (run.status, run.expires_at) == ("expired", NOW + 600)
    assert names(await house.events(started)) == [*HAPPY_PATH[:2], "thread.run.expired"]


async def test_a_run_in_the_midst_of_its_answer_expires(house: House) -> None:
    house.work()
    started = await speaking_run(house, asyncio.Event())
    house.clock.advance(600)
    await house.sweeper.sweep()
    events = await house.events(started)
    cut = ["thread.message.incomplete", "thread.run.step.expired", "thread.run.expired"]
    assert names(events) == [*HAPPY_PATH[:8], *cut]
    assert bodies(events, "thread.message.incomplete")[0]["incomplete_details"] == {"reason": "run_expired"}


async def test_the_model_of_an_expired_run_is_stopped(house: House) -> None:
    worker = house.work()
    await speaking_run(house, asyncio.Event())
    house.clock.advance(600)
    await house.sweeper.sweep()
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(*worker._load.tasks)
    assert house.model.aborted == 1


async def test_a_run_that_waits_expires(house: House) -> None:
    house.work()
    started = await waiting_run(house)
    follower = await house.bus.subscribe_live(started.run.id)
    house.clock.advance(600)
    await house.sweeper.sweep()
    told = [await follower.next(SOON_S) for _ in range(2)]
    assert [live.event.name for live in told if live] == ["thread.run.step.expired", "thread.run.expired"]
    [step] = await house.steps(started.run.id)
    assert (step.status, step.expired_at, step.expires_at) == ("expired", NOW + 600, None)


async def test_an_ended_run_is_left_alone(house: House) -> None:
    house.model.turns = [say("ok")]
    house.work()
    before = await house.rest(await house.start())
    house.clock.advance(10_000)
    await house.sweeper.sweep()
    assert await house.run(before.id) == before


async def test_a_lost_job_is_found_again(house: House) -> None:
    started = await house.start()
    jobs = house.bus.jobs()
    assert await anext(jobs) == started.run.id  # and whoever took it dies
    house.clock.advance(QUEUE_PATIENCE_S)
    await house.sweeper.sweep()
    house.clock.advance(1)
    await house.sweeper.sweep()
    assert await asyncio.wait_for(anext(jobs), SOON_S) == started.run.id
    await jobs.aclose()


async def test_a_found_job_is_not_enqueued_at_every_look(house: House) -> None:
    started = await house.start()
    jobs = house.bus.jobs()
    house.clock.advance(QUEUE_PATIENCE_S + 1)
    for _ in range(3):
        await house.sweeper.sweep()
        house.clock.advance(2)
    found = [await anext(jobs)]
    await house.sweeper.sweep()
    with suppress(TimeoutError):
        while True:
            found.append(await asyncio.wait_for(anext(jobs), 0.05))
    assert found in ([started.run.id], [started.run.id] * 2), "at NATS it may wait once in each lane"


async def test_a_cancellation_whose_worker_died_is_carried_out(house: House) -> None:
    worker = house.work()
    started = await speaking_run(house, asyncio.Event())
    for task in [*house.tasks, *worker._load.tasks]:
        task.cancel()
    await asyncio.gather(*house.tasks, *worker._load.tasks, return_exceptions=True)
    await house.cancel(started.run)
    house.clock.advance(LEASE_S + 1)
    await house.sweeper.sweep()
    run = await house.run(started.run.id)
    assert (run.status, run.cancelled_at) == ("cancelled", NOW + 9)


@dataclass
class OnceAway:
    """A store whose first read fails."""

    store: Store
    reads: int = 0
    back: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, query: Any) -> Any:
        self.reads += 1
        if self.reads == 1:
            raise OSError("the disk is away")
        self.back.set()
        return await self.store.read(query)


async def test_it_goes_on_after_a_failure(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweeper, "EVERY_S", 0.01)
    store: Any = OnceAway(house.store)
    serving = asyncio.create_task(sweeper.Sweeper(store, house.bus, house.clock).serve())
    await asyncio.wait_for(store.back.wait(), SOON_S)
    serving.cancel()
    assert "could not sweep" in caplog.text
