"""Followers of a run whose events are told late, or never: the rows are the truth."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.chaos.checker import illegal
from tests.engine.house import HAPPY_PATH, SOON_S, House, function, names
from tests.storage.builders import PROJECT

from understudy.bus.base import Bus, EventId, FellBehind, LiveEvent, Subscription, Work
from understudy.engine.follow import AWAY_S
from understudy.engine.orderly import Orderly
from understudy.engine.service import Started
from understudy.errors import Unavailable
from understudy.inference.base import TextDelta
from understudy.protocol.events import Event, arguments_delta
from understudy.testing import call, say


def text_of(told: Event) -> str:
    parts = json.loads(told.data)["delta"]["content"] if told.name == "thread.message.delta" else []
    return "".join(part["text"]["value"] for part in parts)


async def replay(house: House, started: Started, after: EventId | None = None) -> list[LiveEvent]:
    run = started.run
    async with asyncio.timeout(SOON_S):
        events = house.followers.replay(PROJECT, run.thread_id, run.id, after)
        return [live async for live in events if live is not None]


# --- late --------------------------------------------------------------------------------------------------------


class Late:
    """Tells of a pause only when it may, and may lose jobs."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.publish_now, self.enqueue_now = bus, bus.publish, bus.enqueue
        self.may_pause = asyncio.Event()
        self.loses_jobs = False

    async def enqueue(self, job: str, work: Work = "runs", *, behind: bool = False) -> None:
        if not self.loses_jobs:
            await self.enqueue_now(job, work, behind=behind)

    async def publish(self, run_id: str, attempt: int, events: Any) -> list[EventId]:
        if any(each.name == "thread.run.requires_action" for each in events):
            await self.may_pause.wait()
        return await self.publish_now(run_id, attempt, events)


@pytest.fixture
async def late(house: House, monkeypatch: pytest.MonkeyPatch) -> tuple[Late, Started]:
    """A run that waits for its client, told of by its row alone so far."""
    late = Late(house.bus)
    monkeypatch.setattr(house.bus, "publish", late.publish)
    monkeypatch.setattr(house.bus, "enqueue", late.enqueue)
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
    telling, started = late
    going_on = await house.submit(started.run, get_weather="rain")
    await telling.publish_now(started.run.id, 1, [arguments_delta("step_of_the_first_attempt", 0, "{}")])
    telling.may_pause.set()
    assert names(await house.events(going_on)) == ["thread.run.step.completed", *HAPPY_PATH[1:]]


@pytest.mark.parametrize("logged", [True, False])
async def test_a_pause_that_is_told_late_does_not_end_a_replay(
    house: House, late: tuple[Late, Started], logged: bool
) -> None:
    telling, started = late
    telling.loses_jobs = True
    await house.submit(started.run, get_weather="rain")
    if not logged:
        await house.bus.forget(started.run.id)
    watcher = await house.bus.subscribe_live(started.run.id)
    replaying = asyncio.create_task(replay(house, started))
    await asyncio.sleep(0.05)
    telling.may_pause.set()
    assert await watcher.next(SOON_S)
    await asyncio.sleep(0.05)
    telling.loses_jobs = False
    await house.bus.enqueue(started.run.id)
    assert names(await replaying)[-1] == "thread.run.completed"


# --- lost --------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost is not waited for."""
    monkeypatch.setattr("understudy.engine.follow.LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("understudy.engine.follow.TELLING_S", 0.01)


@pytest.fixture
def forgetful(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last events of every run are lost."""
    publish = house.bus.publish

    async def publish_some(run_id: str, attempt: int, events: Any) -> list[EventId]:
        return await publish(run_id, attempt, [each for each in events if "completed" not in each.name])

    monkeypatch.setattr(house.bus, "publish", publish_some)


@pytest.mark.usefixtures("impatient", "forgetful")
async def test_a_lost_publish_does_not_hang_a_follower(house: House) -> None:
    house.model.turns = [say("Hello.")]
    house.work()
    events = await house.events(await house.start())
    assert names(events) == HAPPY_PATH, "what the rows say is told"


async def forgotten_end(house: House) -> tuple[Started, list[LiveEvent]]:
    """A run that has ended, whose worker was gone before it could tell, and what was told before that."""
    house.model.turns = [say("Hello.")]
    house.work()
    started = await house.start()
    place = await house.bus.subscribe(started.run.id)
    assert place is not None
    live = [await place.next(SOON_S) for _ in range(8)]
    assert (await house.followers.wait(PROJECT, started.run.thread_id, started.run.id, SOON_S)).status == "completed"
    return started, [each for each in live if each]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("heard", ["", "one", "one two"])
async def test_text_that_was_lost_is_told_before_its_end(
    house: House, monkeypatch: pytest.MonkeyPatch, heard: str
) -> None:
    """A worker was killed that had answered, before all of it was out."""
    publish, out = house.bus.publish, ""

    async def publish_some(run_id: str, attempt: int, events: Any) -> list[EventId]:
        nonlocal out
        told = [each for each in events if "delta" not in each.name or out != heard]
        out += "".join(text_of(each) for each in told)
        return await publish(run_id, attempt, [each for each in told if "completed" not in each.name])

    monkeypatch.setattr(house.bus, "publish", publish_some)
    house.model.turns = [say("one two three")]
    house.work()
    started = await house.start()
    for events in (await house.events(started), await replay(house, started)):
        assert "".join(text_of(each.event) for each in events) == "one two three"
        assert names(events)[-3:] == HAPPY_PATH[-3:]


@pytest.mark.usefixtures("impatient", "forgetful")
async def test_text_that_was_lost_is_told_also_where_the_log_is_gone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(run_id: str, after: EventId | None = None) -> Subscription | None:
        house.clock.advance(AWAY_S)
        raise Unavailable("NATS is away")

    monkeypatch.setattr(house.bus, "subscribe", away)
    gate = asyncio.Event()
    house.model.turns = [[TextDelta("one "), gate, *say("two")]]
    house.work()
    started = await house.start()
    place = Deaf(started.events, 8)
    asyncio.get_running_loop().call_later(0.1, gate.set)
    events = await house.events(replace(started, events=place))
    assert wrong(events) == []
    assert "".join(text_of(live.event) for live in events) == "one two"


@pytest.mark.usefixtures("impatient", "forgetful")
async def test_an_end_that_was_lost_is_told_to_who_comes_back(house: House) -> None:
    started, live = await forgotten_end(house)
    assert names(live) == HAPPY_PATH[:8]
    for place, known in enumerate(live):
        assert names(await replay(house, started, known.id)) == [*names(live[place + 1 :]), *HAPPY_PATH[8:]]
    assert names(await replay(house, started)) == HAPPY_PATH


@pytest.mark.usefixtures("impatient", "forgetful")
async def test_an_end_that_was_lost_is_told_by_itself_where_the_log_does_not_reach_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, live = await forgotten_end(house)
    subscribe = house.bus.subscribe

    async def subscribe_to_the_rest(run_id: str, after: EventId | None = None) -> Subscription | None:
        return None if after is None else await subscribe(run_id, after)

    monkeypatch.setattr(house.bus, "subscribe", subscribe_to_the_rest)
    assert names(await replay(house, started, live[-1].id)) == ["thread.run.completed"]


class Deaf:
    """A place that gives so many events, and does not hear of the rest."""

    def __init__(self, place: Subscription, count: int) -> None:
        self.place, self.count = place, count

    async def next(self, timeout_s: float) -> LiveEvent | None:
        if self.count == 0:
            return await asyncio.sleep(timeout_s)
        self.count -= 1
        return await self.place.next(timeout_s)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("count", range(len(HAPPY_PATH) + 1))
async def test_what_the_log_has_is_told_to_who_did_not_hear_it(house: House, count: int) -> None:
    house.model.turns = [say("Hello.")]
    house.work()
    started = await house.start()
    assert names(await house.events(replace(started, events=Deaf(started.events, count)))) == HAPPY_PATH


@pytest.mark.usefixtures("impatient")
async def test_what_went_on_after_a_pause_is_told_to_who_did_not_hear_it(house: House) -> None:
    house.model.turns = [call(get_weather={}), say("Rain.")]
    house.work()
    started = await house.start(tools=[function()])
    await house.rest(started)
    going_on = await house.submit(started.run, get_weather="rain")
    assert isinstance(going_on.events, Orderly)
    going_on.events.go_on_in(Deaf(started.events, 0))
    assert names(await house.events(going_on)) == ["thread.run.step.completed", *HAPPY_PATH[1:]]


BEGUN = {"thread.run.step.in_progress", "thread.message.in_progress"}


def wrong(events: list[LiveEvent]) -> list[str]:
    return illegal([(live.event.name, json.loads(live.event.data)) for live in events])


@pytest.mark.parametrize("heard", [True, False], ids=["a piece of it is told", "it is not told"])
async def test_a_beginning_that_was_lost_is_told_with_its_end(
    house: House, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    """The SDKs' handlers fail at a delta of what was not created."""
    publish = house.bus.publish
    lost = ("created", "in_progress") if heard else ("created", "in_progress", "delta")

    async def publish_some(run_id: str, attempt: int, events: Any) -> list[EventId]:
        told = [each for each in events if each.name.startswith("thread.run.") and "step" not in each.name]
        return await publish(run_id, attempt, [each for each in events if each in told or not each.name.endswith(lost)])

    monkeypatch.setattr(house.bus, "publish", publish_some)
    house.model.turns = [say("one two three")]
    house.work()
    started = await house.start()
    for events in (await house.events(started), await replay(house, started)):
        assert wrong(events) == []
        assert sorted(names(events)) == sorted(set(HAPPY_PATH) - BEGUN)
        assert "".join(text_of(each.event) for each in events) == "one two three"


class HardOfHearing(Deaf):
    """A place that begins so many events late."""

    async def next(self, timeout_s: float) -> LiveEvent | None:
        while self.count > 0 and await self.place.next(timeout_s):
            self.count -= 1
        return await self.place.next(timeout_s)


@pytest.mark.parametrize("missed", range(HAPPY_PATH.index("thread.message.completed") + 3))
async def test_who_answers_and_hears_from_amid_the_text_on_is_told_nothing_by_halves(house: House, missed: int) -> None:
    """Its server could not reach NATS as the outputs came in."""
    house.model.turns = [call(get_weather={}), [TextDelta("It "), TextDelta("rains "), *say("now.")]]
    house.work()
    started = await house.start(tools=[function()])
    await house.rest(started)
    going_on = await house.submit(started.run, get_weather="rain")
    assert isinstance(going_on.events, Orderly)
    going_on.events.go_on_in(HardOfHearing(going_on.events._place, missed))
    events = await house.events(going_on)
    assert wrong(events) == []
    assert "".join(text_of(each.event) for each in events) == "It rains now."


@pytest.mark.usefixtures("impatient", "forgetful")
@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_bus_that_is_away_as_a_run_ends_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    subscribe, looks = house.bus.subscribe, 0

    async def away(run_id: str, after: EventId | None = None) -> Subscription | None:
        nonlocal looks
        looks += 1
        house.clock.advance(AWAY_S / 4)
        if comes_back and looks == 3:
            return await subscribe(run_id, after)
        raise Unavailable("NATS is away")

    monkeypatch.setattr(house.bus, "subscribe", away)
    house.model.turns = [say("one two three")]
    house.work()
    started = await house.start()
    events = await house.events(started)
    assert names(events) == HAPPY_PATH, "the rows have its ends"
    assert "".join(text_of(live.event) for live in events) == "one two three"
    assert looks == (3 if comes_back else 5)


@pytest.mark.parametrize("lost", ["thread.run.step.completed", "thread.message.completed"])
async def test_an_objects_end_that_was_lost_is_told_before_its_runs(
    house: House, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Its server died before it could tell, say: that outputs came in, or what had no room in a message."""
    publish = house.bus.publish

    async def publish_some(run_id: str, attempt: int, events: Any) -> list[EventId]:
        return await publish(run_id, attempt, [each for each in events if each.name != lost])

    monkeypatch.setattr(house.bus, "publish", publish_some)
    house.model.turns = [say("Hello.")]
    house.work()
    started = await house.start()
    for events in (await house.events(started), await replay(house, started)):
        assert sorted(names(events)) == sorted(HAPPY_PATH)
        assert names(events)[-1] == "thread.run.completed"


async def test_lost_ends_are_told_to_who_comes_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = house.bus.publish
    lost = {"thread.run.step.completed", "thread.message.completed"}

    async def publish_some(run_id: str, attempt: int, events: Any) -> list[EventId]:
        return await publish(run_id, attempt, [each for each in events if each.name not in lost])

    monkeypatch.setattr(house.bus, "publish", publish_some)
    house.model.turns = [say("Hello.")]
    house.work()
    started = await house.start()
    live = await house.events(started)
    known = next(each for each in live if each.event.name == "thread.message.delta")
    assert names(await replay(house, started, known.id)) == HAPPY_PATH[-3:]


async def test_a_narration_whose_end_was_lost_has_ended_before_it_is_said_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker was killed after it had written the narration's end and the call's beginning."""
    publish, gate, dies = house.bus.publish, asyncio.Event(), asyncio.Event()

    async def publish_some(run_id: str, attempt: int, events: Any) -> list[EventId]:
        if attempt == 1 and any(each.name == "thread.message.completed" for each in events):
            dies.set()
        return [] if attempt == 1 and dies.is_set() else await publish(run_id, attempt, events)

    monkeypatch.setattr(house.bus, "publish", publish_some)
    again = call(narration="Let me look.", get_weather={})
    house.model.turns = [[*again[:-1], gate], again]
    worker = house.work()
    started = await house.start(tools=[function()])
    await asyncio.wait_for(dies.wait(), SOON_S)
    house.clock.advance(60)
    next_one = asyncio.create_task(house.worker("next")._work(started.run.id))
    events = await house.events(started)
    await next_one
    await worker.stop()
    begun = [json.loads(live.event.data)["id"] for live in events if live.event.name == "thread.message.created"]
    ended = [json.loads(live.event.data)["id"] for live in events if live.event.name == "thread.message.completed"]
    assert begun == ended
    assert len(begun) == 2


@pytest.mark.usefixtures("forgetful")
async def test_the_end_of_a_step_that_was_answered_is_told_to_who_answered(house: House) -> None:
    publish = house.bus.publish
    house.model.turns = [call(get_weather={}), say("Rain.")]
    house.work()
    started = await house.start(tools=[function()])
    await house.rest(started)
    going_on = await house.submit(started.run, get_weather="rain")
    while (await house.run(started.run.id)).status != "completed":  # noqa: ASYNC110  # nothing tells
        await asyncio.sleep(0.005)
    await publish(started.run.id, 2, [Event("thread.run.completed", f'{{"id":"{started.run.id}"}}')])
    events = names(await house.events(going_on))
    assert events.count("thread.run.step.completed") == 2
    assert events[-1] == "thread.run.completed"


async def test_a_run_whose_rows_cannot_be_read_ends_all_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: Any) -> None:
        raise Unavailable("the database is away")

    started = await house.start()
    events = [("thread.message.created", "msg_1"), ("thread.run.completed", started.run.id)]
    await house.bus.publish(started.run.id, 1, [Event(name, f'{{"id":"{of}"}}') for name, of in events])
    monkeypatch.setattr(house.store, "read", away)
    assert names(await house.events(started))[-1] == "thread.run.completed"


async def test_nothing_is_told_after_a_runs_end(house: House) -> None:
    """By a worker that hung between writing and telling, while the run was cancelled."""
    house.model.turns = [say("Hello.")]
    house.work()
    started = await house.start()
    live = await house.events(started)
    late = next(each.event for each in live if each.event.name == "thread.message.completed")
    await house.bus.publish(started.run.id, 1, [late, Event("thread.message.created", '{"id":"msg_2"}')])
    assert await replay(house, started) == live


class Behind:
    """A place of which what comes next is no longer kept."""

    async def next(self, timeout_s: float) -> LiveEvent | None:
        raise FellBehind


async def test_a_poll_goes_on_after_it_fell_behind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    started = await house.start()
    subscribe_live, places = house.bus.subscribe_live, list[Subscription]()

    async def behind_at_first(run_id: str) -> Subscription:
        places.append(await subscribe_live(run_id) if places else Behind())
        return places[-1]

    monkeypatch.setattr(house.bus, "subscribe_live", behind_at_first)
    of = (PROJECT, started.run.thread_id, started.run.id)
    polling = asyncio.create_task(house.followers.wait(*of, SOON_S))
    house.model.turns = [say("Hello.")]
    house.work()
    assert (await polling).status == "completed"
    assert len(places) == 2


async def test_a_pause_that_somebody_answered_meanwhile_is_looked_at_again(
    house: House, late: tuple[Late, Started]
) -> None:
    telling, started = late
    paused = await house.run(started.run.id)
    telling.loses_jobs = True
    place = Orderly(await house.bus.subscribe_live(paused.id), finished=frozenset())
    assert names(await house.followers._untold(paused, place) or []) == ["thread.run.requires_action"]
    await house.submit(started.run, get_weather="rain")
    assert await house.followers._untold(paused, place) is None


async def test_a_pause_that_was_lost_is_told_to_who_comes_back(house: House, late: tuple[Late, Started]) -> None:
    _, started = late
    place = await house.bus.subscribe(started.run.id)
    assert place is not None
    live = [each for each in [await place.next(0) for _ in range(20)] if each]
    assert names(await replay(house, started, live[-1].id)) == ["thread.run.requires_action"]


async def test_who_has_heard_the_end_is_told_nothing_more(house: House) -> None:
    house.model.turns = [say("Hello.")]
    house.work()
    started = await house.start()
    live = await house.events(started)
    assert await replay(house, started, live[-1].id) == []
