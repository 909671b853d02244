"""Leases: who works on a run, who takes it over, and that nobody writes over his successor."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

import pytest
from tests.engine.house import HAPPY_PATH, LEASE_S, SOON_S, House, bodies, function, names, speaking_run, text
from tests.storage.builders import NOW, PROJECT

from understudy.bus.base import LiveEvent
from understudy.bus.local import LocalBus
from understudy.engine.endings import MAX_TRIES, WORKER_DIED
from understudy.engine.service import Started
from understudy.engine.worker import Worker
from understudy.inference.base import TextDelta, ToolCallDelta
from understudy.storage import messages, steps
from understudy.storage.runs import RunRecord
from understudy.testing import FakeSandbox, call, say
from understudy.tools.code_interpreter import CodeInterpreter


class Deaf(LocalBus):
    """The bus of a worker that hears of nothing any more: its process hangs, or its network is cut."""

    async def signal(self, run_id: str) -> None:
        return


class Noting(LocalBus):
    """Notes in which turn of the event loop each run is begun."""

    turn = 0

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []

    def signalled(self, row: str) -> AbstractAsyncContextManager[asyncio.Event]:
        self.begun.append(self.turn)
        return super().signalled(row)


async def lapse(house: House) -> None:
    """Let every lease lapse and have the sweeper look."""
    house.clock.advance(LEASE_S + 1)
    await house.sweeper.sweep()


async def hang(house: House, started: Started, gate: asyncio.Event) -> tuple[Worker, asyncio.Task[None]]:
    """Let a worker take a run, work through the turns that are there, and then fall silent at the gate."""
    bus = Deaf(house.clock)
    worker = house.worker("hanging", bus=bus)
    house.model.turns.append([TextDelta("Hal"), TextDelta("f"), gate, *say(" and the rest")])
    place = await bus.subscribe_live(started.run.id)
    task = asyncio.create_task(worker._work(started.run.id))
    house.tasks.append(task)
    while (live := await place.next(SOON_S)) and '"value":"f"' not in live.event.data:
        pass
    return worker, task


async def taken_over(house: House, gate: asyncio.Event) -> tuple[Started, asyncio.Task[None]]:
    started = await house.start()
    _, task = await hang(house, started, gate)
    house.model.turns = [say("The whole.")]
    house.work()
    await lapse(house)
    return started, task


async def test_a_claim_is_a_lease(house: House) -> None:
    house.work()
    started = await speaking_run(house, asyncio.Event())
    run = await house.run(started.run.id)
    assert (run.status, run.worker, run.attempt, run.tries) == ("in_progress", "worker", 1, 1)
    assert (run.lease_until, run.started_at) == (NOW + LEASE_S, NOW)


async def test_a_held_run_is_not_claimed_twice(house: House) -> None:
    house.work()
    started = await speaking_run(house, asyncio.Event())
    before = await house.run(started.run.id)
    await house.worker("other")._work(started.run.id)
    assert await house.run(started.run.id) == before
    assert len(house.model.requests) == 1


async def test_a_lapsed_run_is_taken_over_and_completed(house: House) -> None:
    started, _ = await taken_over(house, asyncio.Event())
    run = await house.rest(started)
    assert (run.status, run.attempt, run.tries) == ("completed", 2, 2)
    assert await house.texts(run.thread_id) == ["hi", "The whole."]


async def test_what_was_left_behind_stays_readable_by_its_id(house: House) -> None:
    started, _ = await taken_over(house, asyncio.Event())
    events = await house.events(started)
    [left] = bodies(events, "thread.message.incomplete")
    [step] = bodies(events, "thread.run.step.failed")
    assert left["incomplete_details"] == {"reason": "run_failed"}
    assert step["last_error"]["code"] == "server_error"
    run = started.run
    assert step["id"] not in [each.id for each in await house.steps(run.id)]
    found = await house.store.read(lambda c: messages.get(c, run.project, run.thread_id, left["id"]))
    assert found.status == "incomplete"
    assert (await house.store.read(lambda c: steps.get(c, run.project, run.id, step["id"]))).status == "failed"


async def test_the_next_model_call_does_not_see_the_half_answer(house: House) -> None:
    started, _ = await taken_over(house, asyncio.Event())
    await house.events(started)
    assert [message["content"] for message in house.model.requests[1].messages] == ["Be kind.", "hi"]


async def test_finished_steps_are_kept(house: House) -> None:
    started = await house.start(tools=[function()])
    house.model.turns = [call(narration="Let me see.", unknown={})]
    await hang(house, started, asyncio.Event())
    house.model.turns = [say("The whole.")]
    house.work()
    await lapse(house)
    run = await house.rest(started)
    assert [step.type for step in await house.steps(run.id)] == ["message_creation", "tool_calls", "message_creation"]
    assert await house.texts(run.thread_id) == ["hi", "Let me see.", "The whole."]
    assert house.model.requests[-1].messages[-1]["role"] == "tool"


async def test_a_worker_thought_dead_cannot_write(house: House) -> None:
    gate = asyncio.Event()
    started, hanging = await taken_over(house, gate)
    await house.events(started)
    thread_id = started.run.thread_id
    before = [await house.run(started.run.id), await house.steps(started.run.id), await house.messages(thread_id)]
    gate.set()
    await asyncio.wait_for(hanging, SOON_S)
    after = [await house.run(started.run.id), await house.steps(started.run.id), await house.messages(thread_id)]
    assert after == before


async def test_after_three_tries_the_run_fails(house: House) -> None:
    started = await house.start()
    for _ in range(MAX_TRIES):
        await hang(house, started, asyncio.Event())
        house.clock.advance(LEASE_S + 1)
    assert (await house.run(started.run.id)).tries == MAX_TRIES
    house.work()
    await house.sweeper.sweep()
    run = await house.rest(started)
    assert (run.status, run.last_error, run.attempt) == ("failed", WORKER_DIED, MAX_TRIES)
    assert len(house.model.requests) == MAX_TRIES


async def test_progress_that_a_client_saw_counts_tries_anew(house: House) -> None:
    started = await house.start(tools=[function()])
    await hang(house, started, asyncio.Event())
    house.model.turns = [call(get_weather={}), say("ok")]
    house.work()
    await lapse(house)
    waiting = await house.rest(started)
    assert (waiting.status, waiting.tries) == ("requires_action", 2)
    done = await house.rest(await house.submit(waiting, get_weather="rain"))
    assert (done.status, done.tries, done.attempt) == ("completed", 1, 3)


async def test_a_worker_with_too_much_to_do_does_not_take_its_own_run_over(house: House) -> None:
    gate = asyncio.Event()
    house.work()
    started = await speaking_run(house, gate)
    await lapse(house)
    async with asyncio.timeout(SOON_S):
        while (await house.run(started.run.id)).lease_until <= house.clock.now():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.005)
    gate.set()
    run = await house.rest(started)
    assert (run.status, run.attempt, run.tries) == ("completed", 1, 1)
    assert len(house.model.requests) == 1


async def test_a_lost_lease_stops_the_model(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The renewal finds it out, though no signal came; and it does not disturb the new holder."""
    monkeypatch.setattr("understudy.workload.RENEWALS_PER_LEASE", 800)
    started = await house.start()
    worker, hanging = await hang(house, started, asyncio.Event())
    other_gate = asyncio.Event()
    house.clock.advance(LEASE_S + 1)
    other, _ = await hang(house, started, other_gate)
    renewing = asyncio.create_task(worker._load.keep_leases())
    await asyncio.wait_for(hanging, SOON_S)
    renewing.cancel()
    assert house.model.aborted == 1
    assert len(other._load.held) == 1
    other_gate.set()


async def test_leases_are_renewed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.workload.RENEWALS_PER_LEASE", 800)
    house.work()
    started = await speaking_run(house, asyncio.Event())
    house.clock.advance(5)
    async with asyncio.timeout(SOON_S):
        while (await house.run(started.run.id)).lease_until != NOW + 5 + LEASE_S:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.005)


async def test_a_stopping_server_hands_its_runs_back(house: House) -> None:
    worker = house.work()
    started = await speaking_run(house, asyncio.Event())
    await house.bus.close()
    await worker.stop()
    await asyncio.wait_for(asyncio.gather(*house.tasks), SOON_S)
    run = await house.run(started.run.id)
    assert (run.status, run.lease_until) == ("in_progress", 0.0)
    assert house.model.aborted == 1
    assert await house.texts(run.thread_id) == ["hi", "Hello"]


async def test_a_stopping_server_begins_nothing_new(house: House) -> None:
    worker = house.worker(concurrency=1)
    serving = asyncio.create_task(worker.serve())
    first = await speaking_run(house, asyncio.Event())
    second = await house.start()
    await asyncio.sleep(0)
    await house.bus.close()
    await worker.stop()
    await asyncio.wait_for(serving, SOON_S)
    assert [(await house.run(each.run.id)).status for each in (first, second)] == ["in_progress", "queued"]
    assert not worker._load.tasks


async def test_a_forced_tool_is_forced_again_after_a_take_over(house: House) -> None:
    started = await house.start(tools=[function()], tool_choice="required")
    _, hanging = await hang(house, started, asyncio.Event())
    hanging.cancel()
    with suppress(asyncio.CancelledError):
        await hanging
    house.model.turns = [call(get_weather={})]
    house.work()
    await lapse(house)
    await house.rest(started)
    assert [request.tool_choice for request in house.model.requests] == ["required", "required"]


async def test_many_runs_at_once(house: House) -> None:
    house.model.turns = [say(f"answer {number}") for number in range(30)]
    house.work()
    started = [await house.start() for _ in range(30)]
    ended: list[RunRecord] = await asyncio.gather(*[house.rest(each) for each in started])
    assert {run.status for run in ended} == {"completed"}
    answers = [text((await house.messages(run.thread_id))[1]) for run in ended]
    assert sorted(answers) == sorted(f"answer {number}" for number in range(30))


async def test_no_more_at_once_than_allowed(house: House) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    house.model.turns = [[gate, *say("ok")] for gate in gates]
    worker = house.worker(concurrency=2)
    house.tasks.append(asyncio.create_task(worker.serve()))
    started = [await house.start() for _ in gates]
    stream = house.follow(started[1])
    await _until(stream, "thread.run.in_progress")
    assert (await house.run(started[2].run.id)).status == "queued"
    for gate in gates:
        gate.set()
    assert names(await house.events(started[2])) == HAPPY_PATH
    await stream.aclose()


async def _until(stream: AsyncIterator[LiveEvent | None], name: str) -> None:
    async for live in stream:
        if live and live.event.name == name:
            return


async def test_a_narration_whose_call_was_never_written_is_not_told_twice(house: House) -> None:
    started = await house.start(tools=[function()])
    gate = asyncio.Event()
    half = [TextDelta("Let me look."), ToolCallDelta(0, "call_1", "get_weather"), gate, *call(get_weather={})]
    house.model.turns = [half]
    bus = Deaf(house.clock)
    place = await bus.subscribe_live(started.run.id)
    house.tasks.append(asyncio.create_task(house.worker("hanging", bus=bus)._work(started.run.id)))
    while (live := await place.next(SOON_S)) and live.event.name != "thread.run.step.delta":
        pass
    house.model.turns = [call(narration="Let me look.", get_weather={})]
    house.work()
    await lapse(house)
    run = await house.rest(started)
    assert run.status == "requires_action"
    assert await house.texts(run.thread_id) == ["hi", "Let me look."]
    assert [message["role"] for message in house.model.requests[1].messages] == ["system", "user"]


async def test_new_runs_are_begun_one_a_turn_however_many_wait(house: House) -> None:
    """Streams that are under way are served in between: their tokens come on time while many runs start."""
    bus = Noting()
    for _ in range(5):
        await bus.enqueue((await house.start()).run.id)
    house.tasks.append(asyncio.create_task(house.worker("busy", bus=bus).serve()))
    for bus.turn in range(50):
        await asyncio.sleep(0)
    assert len(bus.begun) == 5
    assert len(set(bus.begun)) == 5


# --- sessions that belong to a worker --------------------------------------------------------------------------------


class Offering(LocalBus):
    """A bus within one process that carries offers all the same."""

    taker: Callable[[str], Awaitable[bool]] | None = None

    async def offer(self, thread_id: str, run_id: str) -> bool:
        return self.taker is not None and await self.taker(run_id)


class Kept:
    """The sessions of one worker."""

    def __init__(self, *threads: str) -> None:
        self.threads = set(threads)

    def holds(self, project: str, thread_id: str) -> bool:
        return thread_id in self.threads

    async def forget(self, project: str, thread_id: str) -> None:
        self.threads.discard(thread_id)


@pytest.fixture
async def offered(house: House) -> tuple[RunRecord, Worker, Worker, Kept]:
    """A run that may run code, the worker that has its session, the one that got its job, and what the first has."""
    house.toolbox["code_interpreter"] = CodeInterpreter(FakeSandbox(), shelf=None)  # type: ignore[arg-type]  # no files
    house.model.turns = [[asyncio.Event()]]
    started = await house.start(tools=[{"type": "code_interpreter"}])
    run, bus = await house.run(started.run.id), Offering(house.clock)
    holder, other, kept = house.worker("holder", 1, bus), house.worker("other", 8, bus), Kept(started.run.thread_id)
    holder._sessions, other._sessions = kept, Kept()
    bus.taker = partial(holder._take_offered, of=(PROJECT, run.thread_id), sessions=kept)
    return run, holder, other, kept


async def test_a_run_goes_to_the_worker_that_has_its_session(
    house: House, offered: tuple[RunRecord, Worker, Worker, Kept]
) -> None:
    run, holder, other, kept = offered
    assert await other._own(run.id) is None
    held = await house.run(run.id)
    assert (held.status, held.worker, held.attempt) == ("in_progress", "holder", 1)
    assert kept.threads == {run.thread_id}
    await holder.stop()


async def test_where_that_one_has_no_room_its_session_is_out_of_date(
    house: House, offered: tuple[RunRecord, Worker, Worker, Kept]
) -> None:
    run, holder, other, kept = offered
    await holder._load._slots.acquire()
    claimed = await other._own(run.id)
    assert claimed is not None
    assert claimed.run.worker == "other"
    assert kept.threads == set()


async def test_an_offer_that_comes_late_changes_nothing(
    house: House, offered: tuple[RunRecord, Worker, Worker, Kept]
) -> None:
    run, holder, other, kept = offered
    await house.store.write(lambda connection: other._claim(connection, run.id))
    before = await house.run(run.id)
    assert not await holder._take_offered(run.id, (PROJECT, run.thread_id), kept)
    assert await house.run(run.id) == before
    assert kept.threads == set()


async def test_a_worker_without_sessions_asks_nobody(
    house: House, offered: tuple[RunRecord, Worker, Worker, Kept]
) -> None:
    run, _, other, _ = offered
    other._sessions = None
    assert await other._own(run.id) is not None
