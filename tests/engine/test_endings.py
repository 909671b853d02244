"""The moment of an answer's end: a stop or a cancellation that comes just then cuts nothing in two."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from sqlalchemy import Connection, update
from tests.engine.house import HAPPY_PATH, SOON_S, House, bodies, function, names, speaking_run, text

from understudy.bus.base import LiveEvent
from understudy.engine.worker import Worker
from understudy.inference.base import TextDelta
from understudy.protocol.runs import usage
from understudy.storage import model_calls
from understudy.storage.base import Store
from understudy.storage.schema import runs
from understudy.testing import call, say

ENDS = ["thread.message.completed", "thread.run.step.completed"]


class Busy:
    """A store whose writer has much to do, when it is told so: a change waits, and is dropped if its maker goes.

    `late` holds back what a change came to instead, once it is made.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.free, self.late, self._one = asyncio.Event(), False, asyncio.Lock()
        self.free.set()
        self.waiting = 0

    async def read(self, query: Any) -> Any:
        return await self._store.read(query)

    async def write(self, change: Any) -> Any:
        made = await self._store.write(change) if self.late else None
        self.waiting += 1
        await self.free.wait()
        self.waiting -= 1
        async with self._one:  # one after the other, also where the store has many writers
            return made if self.late else await self._store.write(change)

    def hold(self, *, late: bool = False) -> None:
        self.late = late
        self.free.clear()

    async def has_waiting(self, count: int) -> None:
        async with asyncio.timeout(SOON_S):
            while self.waiting < count:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0)


@pytest.fixture
async def busy(house: House) -> AsyncIterator[Busy]:
    busy: Any = Busy(house.store)
    house.store = busy
    house.__post_init__()
    yield busy
    busy.free.set()


async def narrating_run(house: House, gate: asyncio.Event) -> Any:
    """A run in the midst of an answer that ends with a call after the gate."""
    house.model.turns = [[TextDelta("Let me"), TextDelta(" look."), gate, *call(get_weather={})]]
    started = await house.start(tools=[function()])
    follower = await house.bus.subscribe(started.run.id)
    assert follower is not None
    while (live := await follower.next(SOON_S)) and " look." not in live.event.data:
        pass
    return started


async def stopped(worker: Worker, busy: Busy) -> None:
    """Stop a worker; the store goes on once all have heard of it."""
    stopping = asyncio.create_task(worker.stop())
    for _ in range(10):
        await asyncio.sleep(0)
    busy.free.set()
    await stopping


async def just_before_an_end(busy: Busy, change: Coroutine[Any, Any, Any], gate: asyncio.Event) -> None:
    """Let a change be written; the end of an answer, which comes after the gate, is written next."""
    busy.hold()
    changing = asyncio.create_task(change)
    await busy.has_waiting(1)
    gate.set()
    await busy.has_waiting(2)
    busy.free.set()
    await changing


def without_cancelling(events: list[LiveEvent]) -> list[str]:
    """The server tells it while the worker tells the answer's end: either may be first."""
    told = names(events)
    told.remove("thread.run.cancelling")
    return told


# --- a stop ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
async def test_a_stop_while_an_answers_end_is_written_leaves_one_answer(house: House, busy: Busy, late: bool) -> None:
    gate = asyncio.Event()
    worker = house.work()
    started = await speaking_run(house, gate)
    house.model.turns.append(say("A second answer"))
    busy.hold(late=late)
    gate.set()
    await busy.has_waiting(1)
    await stopped(worker, busy)
    assert names(await house.events(started)) == HAPPY_PATH
    run = await house.run(started.run.id)
    assert (run.status, run.usage) == ("completed", usage(10, 5))
    house.clock.advance(60)
    await house.sweeper.sweep()
    await house.worker("next")._work(run.id)
    assert await house.texts(run.thread_id) == ["hi", "Hello there"]
    assert len(house.model.requests) == 1


async def test_a_stop_while_a_run_is_claimed_hands_it_back(house: House, busy: Busy) -> None:
    started = await house.start()
    busy.hold(late=True)
    worker = house.work()
    await busy.has_waiting(1)
    await stopped(worker, busy)
    run = await house.run(started.run.id)
    assert (run.status, run.tries) == ("in_progress", 0)
    house.model.turns = [say("Hello there")]
    await house.worker("next")._work(run.id)
    assert names(await house.events(started)) == HAPPY_PATH


async def test_a_stop_while_a_call_is_written_leaves_one_narration(house: House, busy: Busy) -> None:
    gate = asyncio.Event()
    worker = house.work()
    started = await narrating_run(house, gate)
    busy.hold()
    gate.set()
    await busy.has_waiting(1)  # the narration's end
    await stopped(worker, busy)
    house.model.turns = [call(narration="Let me look.", get_weather={})]
    await house.worker("next")._work(started.run.id)
    run = await house.rest(started)
    assert run.status == "requires_action"
    assert await house.texts(run.thread_id) == ["hi", "Let me look."]
    assert len([step for step in await house.steps(run.id) if step.type == "tool_calls"]) == 1


async def test_a_pause_that_is_being_written_at_a_stop_stands(house: House, busy: Busy) -> None:
    gate = asyncio.Event()
    worker = house.work()
    house.model.turns = [[*call(narration="Let me look.", get_weather={})[:-1], gate, *call()]]
    started = await house.start(tools=[function()])
    follower = await house.bus.subscribe(started.run.id)
    assert follower is not None
    while (live := await follower.next(SOON_S)) and live.event.name != "thread.run.step.delta":
        pass
    busy.hold()
    gate.set()
    await busy.has_waiting(1)
    await stopped(worker, busy)
    assert (await house.run(started.run.id)).status == "requires_action"
    assert names(await house.events(started))[-1] == "thread.run.requires_action"
    house.model.turns = [say("It rains.")]
    house.tasks.append(asyncio.create_task(house.worker("next").serve()))
    done = await house.rest(await house.submit(started.run, get_weather="rain"))
    assert await house.texts(done.thread_id) == ["hi", "Let me look.", "It rains."]
    assert done.usage == usage(20, 10)


# --- a cancellation ----------------------------------------------------------------------------------------------


async def test_an_answer_that_ends_just_after_its_run_is_cancelled_is_told_whole(house: House, busy: Busy) -> None:
    gate = asyncio.Event()
    house.work()
    started = await speaking_run(house, gate)
    await just_before_an_end(busy, house.cancel(started.run), gate)
    events = await house.events(started)
    assert without_cancelling(events) == [*HAPPY_PATH[:-3], *ENDS, "thread.run.cancelled"]
    run = await house.run(started.run.id)
    assert (run.status, run.usage) == ("cancelled", usage(10, 5))
    assert [(text(message), message.status) for message in (await house.messages(run.thread_id))[1:]] == [
        ("Hello there", "completed")
    ]
    assert [step.status for step in await house.steps(run.id)] == ["completed"]


async def test_a_narration_that_ends_just_after_its_run_is_cancelled_is_told_whole(house: House, busy: Busy) -> None:
    gate = asyncio.Event()
    house.work()
    started = await narrating_run(house, gate)
    await just_before_an_end(busy, house.cancel(started.run), gate)
    events = await house.events(started)
    [narration] = bodies(events, "thread.message.completed")
    assert narration["content"][0]["text"]["value"] == "Let me look."
    calls = ["thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.delta"]
    ends = ["thread.run.step.cancelled", "thread.run.cancelled"]
    assert without_cancelling(events) == [*HAPPY_PATH[:-3], *ENDS, *calls, *ends]
    assert await house.texts(started.run.thread_id) == ["hi", "Let me look."]


async def test_an_answer_that_ends_just_after_its_run_was_taken_over_is_not_kept(house: House, busy: Busy) -> None:
    gate = asyncio.Event()
    worker = house.work()
    started = await speaking_run(house, gate)
    await just_before_an_end(busy, busy.write(_taken_over), gate)
    await asyncio.gather(*worker._load.tasks)
    assert await house.texts(started.run.thread_id) == ["hi"], "nothing of it is written over its successor"
    assert await house.store.read(lambda connection: model_calls.of_run(connection, started.run.id)) == []


def _taken_over(connection: Connection) -> None:
    connection.execute(update(runs).values(attempt=runs.c.attempt + 1, worker="other"))
