"""Following a run: its log, then live; where the log is gone, its rows, then live."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.engine.house import HAPPY_PATH, SOON_S, House, function, names, speaking_run, waiting_run
from tests.storage.builders import PROJECT

from understudy.bus.base import EventId, LiveEvent
from understudy.engine.follow import Followers
from understudy.engine.service import Started
from understudy.errors import NotFound
from understudy.inference.base import TextDelta
from understudy.protocol.events import Event
from understudy.storage import messages, runs
from understudy.storage.base import Store
from understudy.testing import call, say


async def replay(house: House, started: Started, after: EventId | None = None) -> list[LiveEvent]:
    run = started.run
    async with asyncio.timeout(SOON_S):
        events = house.followers.replay(PROJECT, run.thread_id, run.id, after)
        return [live async for live in events if live is not None]


async def finished(house: House) -> tuple[Started, list[LiveEvent]]:
    house.model.turns = [say("Hello there, how are you?")]
    house.work()
    started = await house.start()
    return started, await house.events(started)


def state(events: list[LiveEvent]) -> list[Any]:
    """What a client has in the end: each object in its last form, deltas put aside."""
    objects: dict[str, Any] = {}
    for live in events:
        body = json.loads(live.event.data)
        if not live.event.name.endswith(".delta"):
            objects[body["id"]] = body
    return sorted(objects.values(), key=lambda body: str(body["id"]))


# --- from the log ------------------------------------------------------------------------------------------------


async def test_a_replay_from_the_beginning_is_the_live_stream(house: House) -> None:
    started, live = await finished(house)
    assert await replay(house, started) == live


async def test_a_replay_from_any_id_is_the_live_streams_remainder(house: House) -> None:
    started, live = await finished(house)
    for place, known in enumerate(live):
        assert await replay(house, started, known.id) == live[place + 1 :]


async def test_a_replay_of_a_run_under_way_goes_on_live(house: House) -> None:
    gate = asyncio.Event()
    house.work()
    started = await speaking_run(house, gate)
    reading = asyncio.ensure_future(replay(house, started))
    await asyncio.sleep(0)
    gate.set()
    assert await reading == await house.events(started)


async def test_a_pause_that_lies_back_does_not_end_a_replay(house: House) -> None:
    house.model.turns = [call(get_weather={}), say("Rain.")]
    house.work()
    started = await house.start(tools=[function()])
    first = await house.events(started)
    second = await house.events(await house.submit(started.run, get_weather="rain"))
    assert await replay(house, started) == first + second


async def test_a_replay_ends_where_the_run_waits(house: House) -> None:
    house.work()
    started = await waiting_run(house)
    events = await replay(house, started)
    assert names(events)[-1] == "thread.run.requires_action"


async def test_the_first_events_are_not_lost_to_who_starts_the_run(house: House) -> None:
    """The worker may be faster than the stream that the client asked for."""
    house.model.turns = [say("Hello.")]
    house.work()
    started = await house.start()
    await replay(house, started)
    assert names(await house.events(started)) == HAPPY_PATH


# --- from the rows -----------------------------------------------------------------------------------------------

SNAPSHOT = ["thread.message.completed", "thread.run.step.completed", "thread.run.completed"]


async def test_without_a_log_an_ended_run_is_told_from_its_rows(house: House) -> None:
    started, live = await finished(house)
    await house.bus.forget(started.run.id)
    for after in (None, live[3].id, EventId(0, 0)):
        told = await replay(house, started, after)
        assert names(told) == SNAPSHOT
        assert state(told)[0] == state(live)[0]


async def test_without_a_log_a_run_under_way_is_told_from_its_rows_then_live(house: House) -> None:
    gate = asyncio.Event()
    house.work()
    started = await speaking_run(house, gate)
    await house.bus.forget(started.run.id)
    told: list[LiveEvent] = []
    async for live in house.followers.replay(PROJECT, started.run.thread_id, started.run.id, None):
        told += [live] if live else []
        gate.set()
    begun = ["thread.run.in_progress", "thread.run.step.created", "thread.message.created"]
    assert names(told) == [*begun, *SNAPSHOT]
    assert json.loads(told[2].event.data)["content"] == []
    assert json.loads(told[3].event.data)["content"][0]["text"]["value"] == "Hello there"


async def test_without_a_log_a_waiting_run_shows_its_open_calls(house: House) -> None:
    house.work()
    started = await waiting_run(house)
    await house.bus.forget(started.run.id)
    told = await replay(house, started)
    assert names(told) == ["thread.run.step.created", "thread.run.requires_action"]
    assert json.loads(told[0].event.data)["step_details"]["tool_calls"][0]["function"]["name"] == "get_weather"


async def test_a_message_that_was_deleted_since_is_left_out(house: House) -> None:
    started, _ = await finished(house)
    await house.bus.forget(started.run.id)
    answer = (await house.messages(started.run.thread_id))[1]
    await house.store.write(lambda connection: messages.delete(connection, answer.id))
    assert names(await replay(house, started)) == SNAPSHOT[1:]


class Interrupted:
    """A store that lets something happen just before its first read."""

    def __init__(self, store: Store, happens: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._happens: Callable[[], Awaitable[object]] | None = happens

    async def read(self, query: Any) -> Any:
        happens, self._happens = self._happens, None
        if happens:
            await happens()
        return await self._store.read(query)


async def test_what_happens_between_subscription_and_snapshot_is_not_told_twice(house: House) -> None:
    gate = asyncio.Event()
    house.work()
    started = await speaking_run(house, gate)
    house.model.turns.append(say("unused"))
    await house.bus.forget(started.run.id)

    async def answer_ends() -> None:
        gate.set()
        await house.events(started)

    live = await house.bus.subscribe_live(started.run.id)
    started = Started(started.run, live)
    store: Any = Interrupted(house.store, answer_ends)
    followers = Followers(store, house.bus, house.clock)
    told = [each async for each in followers.replay(PROJECT, started.run.thread_id, started.run.id, None)]
    assert names([each for each in told if each]) == SNAPSHOT


async def test_a_step_that_ends_between_subscription_and_snapshot_is_not_told_twice(house: House) -> None:
    """The run goes on after it, so the live stream is read, with that step's events still in it."""
    gate, second_gate = asyncio.Event(), asyncio.Event()
    first = [TextDelta("Let"), TextDelta(" me."), gate, *call(unknown={})]
    house.model.turns = [first, [second_gate, *say("Done.")]]
    house.work()
    started = await house.start(tools=[function()])
    follower = await house.bus.subscribe(started.run.id)
    assert follower is not None
    await _until(follower, " me.")
    await house.bus.forget(started.run.id)
    watcher = await house.bus.subscribe_live(started.run.id)

    async def turn_ends() -> None:
        gate.set()
        while (live := await watcher.next(SOON_S)) and "tool_calls" not in _ended(live):
            pass

    store: Any = Interrupted(house.store, turn_ends)
    events = Followers(store, house.bus, house.clock).replay(PROJECT, started.run.thread_id, started.run.id, None)
    told = []
    async for live in events:
        told += [live] if live else []
        second_gate.set()
    objects = ["thread.message.completed", "thread.run.step.completed", "thread.run.step.completed"]
    assert names(told) == ["thread.run.in_progress", *objects, *HAPPY_PATH[3:]]


def _ended(live: LiveEvent) -> str:
    return live.event.data if live.event.name == "thread.run.step.completed" else ""


async def _until(follower: Any, text: str) -> None:
    while (live := await follower.next(SOON_S)) and text not in live.event.data:
        pass


# --- what goes wrong ---------------------------------------------------------------------------------------------


async def test_silence_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = house.follow(await house.start())
    told = [await anext(stream) for _ in range(2)]
    monkeypatch.setattr("understudy.engine.follow.LOOK_EVERY_S", 0.01)
    told += [await anext(stream) for _ in range(2)]
    assert [live and live.event.name for live in told] == [*HAPPY_PATH[:2], None, None]
    await stream.aclose()


async def test_events_of_an_older_attempt_are_left_out(house: House) -> None:
    started = await house.start()
    for attempt, name in [(2, "new"), (1, "late"), (2, "newer"), (2, "thread.run.completed")]:
        await house.bus.publish(started.run.id, attempt, [Event(name, "{}")])
    assert names(await house.events(started))[2:] == ["new", "newer", "thread.run.completed"]


async def test_events_of_an_older_attempt_are_left_out_after_an_id(house: House) -> None:
    started, ids = await house.start(), list[EventId]()
    for attempt, name in [(2, "new"), (1, "late"), (2, "newer"), (2, "thread.run.completed")]:
        ids += await house.bus.publish(started.run.id, attempt, [Event(name, "{}")])
    assert names(await replay(house, started, ids[0])) == ["newer", "thread.run.completed"]


async def test_what_is_told_after_an_objects_end_is_left_out(house: House) -> None:
    """By a worker that was cut off: live, and in a replay of the log."""
    house.work()
    house.model.turns = [say("Hello")]
    started = await house.start()
    live = await house.events(started)
    message = json.loads(next(each.event.data for each in live if each.event.name == "thread.message.created"))["id"]
    late = Event("thread.message.delta", f'{{"id":"{message}","object":"thread.message.delta"}}')
    await house.bus.publish(started.run.id, live[-1].id.attempt, [late])
    replayed = [
        each async for each in house.followers.replay(PROJECT, started.run.thread_id, started.run.id, None) if each
    ]
    assert names(replayed) == HAPPY_PATH
    place = await house.bus.subscribe(started.run.id)
    assert place is not None
    again = [each async for each in house.followers.follow(started.run.id, place) if each]
    assert [each.id for each in again] == [each.id for each in live]


async def test_a_run_of_nobody_is_not_found(house: House) -> None:
    started = await house.start()
    with pytest.raises(NotFound):
        await anext(house.followers.replay("proj_other", started.run.thread_id, started.run.id, None))
    with pytest.raises(NotFound):
        await house.followers.wait(PROJECT, started.run.thread_id, "run_none", 1.0)


# --- held polls --------------------------------------------------------------------------------------------------


async def test_a_held_poll_answers_when_the_run_rests(house: House) -> None:
    gate = asyncio.Event()
    house.work()
    started = await speaking_run(house, gate)
    run = started.run
    waiting = asyncio.ensure_future(house.followers.wait(PROJECT, run.thread_id, run.id, 60.0))
    await asyncio.sleep(0)
    gate.set()
    assert (await asyncio.wait_for(waiting, SOON_S)).status == "completed"


@pytest.mark.parametrize("ends", ["completed", "requires_action"])
async def test_a_held_poll_of_a_run_at_rest_answers_at_once(house: House, ends: str) -> None:
    started = (await finished(house))[0] if ends == "completed" else None
    if started is None:
        house.work()
        started = await waiting_run(house)
    run = await house.followers.wait(PROJECT, started.run.thread_id, started.run.id, 60.0)
    assert run.status == ends


async def test_a_held_poll_is_not_held_for_ever(house: House) -> None:
    run = (await house.start()).run
    assert (await house.followers.wait(PROJECT, run.thread_id, run.id, 0.0)).status == "queued"


async def test_a_held_poll_finds_an_end_that_nobody_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.engine.follow.LOOK_EVERY_S", 0.01)
    run = (await house.start()).run
    waiting = asyncio.ensure_future(house.followers.wait(PROJECT, run.thread_id, run.id, 60.0))
    await asyncio.sleep(0)
    statement = "UPDATE runs SET status = 'failed'"
    await house.store.write(lambda connection: connection.exec_driver_sql(statement))
    assert (await asyncio.wait_for(waiting, SOON_S)).status == "failed"
    assert await house.store.read(lambda connection: runs.active_in(connection, run.thread_id)) is None
