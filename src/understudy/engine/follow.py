"""Following a run: its log, then live; where the log is gone, its rows, then live."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection

from understudy.bus.base import Bus, EventId, LiveEvent, Subscription
from understudy.engine.transitions import told
from understudy.ids import Clock
from understudy.protocol.events import RUN_ENDS, STREAM_ENDS, Event, event
from understudy.protocol.messages import Message
from understudy.protocol.runs import RESTING
from understudy.protocol.steps import RunStep
from understudy.storage import messages, runs, steps, threads
from understudy.storage.base import Store
from understudy.storage.runs import RunRecord

LOOK_EVERY_S = 3.0
"""How often a silent follower looks at the row: a lost event must not hang it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as its rows have it; `unfinished` are ids of objects whose deltas so far are lost."""

    run: RunRecord
    events: list[Event]
    unfinished: frozenset[str]


class Followers:
    """Streams and waits, for any run, on any server."""

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock

    async def follow(
        self, run_id: str, place: Subscription, *, seen: int = 0
    ) -> AsyncGenerator[LiveEvent | None, None]:
        """Yield a run's events up to the first at which a client's stream ends; None when nothing happened for long.

        Events of an attempt older than one already seen come from a worker that is no longer in charge: left out.
        """
        while True:
            live = await place.next(LOOK_EVERY_S)
            if live is None:
                run = await self._store.read(lambda connection: runs.find(connection, run_id))
                if run is None:
                    return
                if run.status in RESTING and (live := await place.next(0)) is None:
                    yield LiveEvent(EventId(run.attempt, 0), told(run))
                    return
                if live is None:
                    yield None
                    continue
            if live.id.attempt < seen:
                continue
            seen = live.id.attempt
            yield live
            if live.event.name in STREAM_ENDS:
                return

    async def replay(
        self, project: str, thread_id: str, run_id: str, after: EventId | None
    ) -> AsyncGenerator[LiveEvent | None, None]:
        """Follow a run, live or finished, from any place; up to its end, or to where it waits now."""
        place = await self._bus.subscribe(run_id, after)
        live_place = await self._bus.subscribe_live(run_id)
        snapshot = await self._store.read(lambda connection: _snapshot(connection, project, thread_id, run_id))
        if place is not None:
            async for live in self._replay_log(snapshot.run, place):
                yield live
            return
        shown = set()
        for told_event in snapshot.events:
            shown.add(_name_and_id(told_event))
            yield LiveEvent(EventId(snapshot.run.attempt, 0), told_event)
        if snapshot.run.status in RESTING:
            return
        async for live in self.follow(run_id, live_place):
            if live is not None:
                key = _name_and_id(live.event)
                if key in shown or (key[0].endswith(".delta") and key[1] in snapshot.unfinished):
                    continue
            yield live

    async def _replay_log(self, run: RunRecord, place: Subscription) -> AsyncGenerator[LiveEvent | None, None]:
        """Give out what is logged, then what comes; a pause that lies back in the log does not end the stream."""
        if run.status in RESTING:
            while logged := await place.next(0):
                yield logged
            return
        last: LiveEvent | None = None
        while last is None or last.event.name not in RUN_ENDS:
            async for live in self.follow(run.id, place):
                last = live or last
                yield live
            if last is None or (more := await place.next(0)) is None:
                return
            last = more
            yield more

    async def wait(self, project: str, thread_id: str, run_id: str, timeout_s: float) -> RunRecord:
        """Return the run once it rests, or as it is when the time is up. Raises NotFound."""
        place = await self._bus.subscribe_live(run_id)
        until = self._clock.now() + timeout_s

        def read(connection: Connection) -> RunRecord:
            threads.get(connection, project, thread_id)
            return runs.get(connection, project, thread_id, run_id)

        while True:
            run = await self._store.read(read)
            left = until - self._clock.now()
            if run.status in RESTING or left <= 0:
                return run
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_EVERY_S)):
                    await _until_rest(place)


async def _until_rest(place: Subscription) -> None:
    """Skip events until one after which the run rests, or until none comes for a while."""
    while live := await place.next(LOOK_EVERY_S):
        if live.event.name in STREAM_ENDS:
            return


def _name_and_id(told_event: Event) -> tuple[str, str]:
    return told_event.name, json.loads(told_event.data)["id"]


def _snapshot(connection: Connection, project: str, thread_id: str, run_id: str) -> Snapshot:
    threads.get(connection, project, thread_id)
    run = runs.get(connection, project, thread_id, run_id)
    events: list[Event] = [] if run.status in RESTING else [told(run)]
    unfinished: set[str] = set()
    for step in steps.of_run(connection, run_id):
        events += _step_events(connection, project, step, unfinished)
    if run.status in RESTING:
        events.append(told(run))
    return Snapshot(run, events, frozenset(unfinished))


def _step_events(connection: Connection, project: str, step: RunStep, unfinished: set[str]) -> list[Event]:
    """A finished object whole; an unfinished one as it began: its end will bring the whole."""
    events = [_as_begun("thread.run.step", step, {"usage": None})] if step.status == "in_progress" else []
    created = step.step_details.get("message_creation")
    if created is not None:
        message = messages.get(connection, project, step.thread_id, created["message_id"])
        if message.status == "in_progress":
            events.append(_as_begun("thread.message", message, {"content": []}))
            unfinished.add(message.id)
        else:
            events.append(event(f"thread.message.{message.status}", message))
    if step.status == "in_progress":
        unfinished.add(step.id)
    else:
        events.append(event(f"thread.run.step.{step.status}", step))
    return events


def _as_begun(noun: str, begun: Message | RunStep, changes: dict[str, object]) -> Event:
    return event(f"{noun}.created", begun.model_copy(update=changes))
