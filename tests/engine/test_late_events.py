"""Followers of a run whose events are told late, or never: the rows are the truth."""

import asyncio
from typing import Any

import pytest
from tests.engine.house import HAPPY_PATH, SOON_S, House, function, names
from tests.storage.builders import PROJECT

from understudy.bus.base import EventId, LiveEvent, Work
from understudy.bus.local import LocalBus
from understudy.engine.service import Started
from understudy.ids import Clock
from understudy.testing import call, say


async def replay(house: House, started: Started, after: EventId | None = None) -> list[LiveEvent]:
    run = started.run
    async with asyncio.timeout(SOON_S):
        events = house.followers.replay(PROJECT, run.thread_id, run.id, after)
        return [live async for live in events if live is not None]


# --- late --------------------------------------------------------------------------------------------------------


class Late(LocalBus):
    """A bus that tells of a pause only when it may, and on which jobs may be lost."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.may_pause = asyncio.Event()
        self.loses_jobs = False

    async def enqueue(self, job: str, work: Work = "runs", *, behind: bool = False) -> None:
        if not self.loses_jobs:
            await super().enqueue(job, work, behind=behind)

    async def publish(self, run_id: str, attempt: int, events: Any) -> list[EventId]:
        if any(each.name == "thread.run.requires_action" for each in events):
            await self.may_pause.wait()
        return await super().publish(run_id, attempt, events)


@pytest.fixture
async def late(house: House) -> tuple[Late, Started]:
    """A run that waits for its client, told of by its row alone so far."""
    late = Late(house.clock)
    house.bus = late
    house.__post_init__()
    house.model.turns = [call(get_weather={}), say("Rain.")]
    house.work()
    started = await house.start(tools=[function()])
    async with asyncio.timeout(SOON_S):
        while (await house.run(started.run.id)).status != "requires_action":  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.005)
    return late, started


async def test_a_pause_that_is_told_late_does_not_end_what_goes_on_after_it(
    house: House, late: tuple[Late, Started]
) -> None:
    """By another process: a client that polls may have answered before."""
    bus, started = late
    going_on = await house.submit(started.run, get_weather="rain")
    bus.may_pause.set()
    assert names(await house.events(going_on)) == ["thread.run.step.completed", *HAPPY_PATH[1:]]


@pytest.mark.parametrize("logged", [True, False])
async def test_a_pause_that_is_told_late_does_not_end_a_replay(
    house: House, late: tuple[Late, Started], logged: bool
) -> None:
    bus, started = late
    bus.loses_jobs = True
    await house.submit(started.run, get_weather="rain")
    if not logged:
        await bus.forget(started.run.id)
    watcher = await bus.subscribe_live(started.run.id)
    replaying = asyncio.create_task(replay(house, started))
    await asyncio.sleep(0.05)
    bus.may_pause.set()
    assert await watcher.next(SOON_S)
    await asyncio.sleep(0.05)
    bus.loses_jobs = False
    await bus.enqueue(started.run.id)
    assert names(await replaying)[-1] == "thread.run.completed"
