"""Following a run: its log, then live; where the log is gone, its rows, then live."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from sqlalchemy import Connection

from understudy.bus.base import Bus, EventId, FellBehind, LiveEvent, Subscription
from understudy.engine.orderly import Orderly, about
from understudy.engine.retelling import Snapshot, all_before, snapshot_of, with_all_before
from understudy.engine.transitions import told
from understudy.errors import NotFound, Unavailable
from understudy.ids import Clock
from understudy.protocol.events import ENDS, RUN_ENDS, STREAM_ENDS, Event
from understudy.protocol.runs import FINAL, RESTING
from understudy.storage import runs, threads
from understudy.storage.base import Store
from understudy.storage.runs import RunRecord

TELLING_S = 0.5
"""How long what the rows say already may take to be told."""
LOOK_EVERY_S = 3.0
"""How often a silent follower looks at the row: a lost event must not hang it."""
AWAY_S = 20.0
"""How long a bus that is away may keep back how a run came to rest: by then it has been told, or never will be."""

STOPPING = (
    "The server is stopping. The run goes on when it is back: retrieve it, or follow it at "
    "GET /v1/threads/{thread_id}/runs/{run_id}/events with the last event's id as Last-Event-ID."
)


class Followers:
    """Streams and waits, for any run, on any server."""

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._hold_polls = True
        self._closed = False

    def release_polls(self) -> None:
        """Answer whoever waits for a run's rest with the run as it is, within moments, from now on."""
        self._hold_polls = False

    def close(self) -> None:
        """End every stream once it has told what is known: raises Unavailable in each."""
        self._hold_polls, self._closed = False, True

    async def follow(
        self, run_id: str, place: Subscription, *, at_once: bool = False
    ) -> AsyncGenerator[LiveEvent | None, None]:
        """Yield a run's events up to the first at which a client's stream ends; None when nothing happened for long.

        `at_once`: look at the row before waiting for more.
        """
        place = place if isinstance(place, Orderly) else Orderly(place)
        look_s = 0 if at_once else LOOK_EVERY_S
        is_over = False
        while not is_over:
            live = await place.next(0 if self._closed else look_s)
            look_s = LOOK_EVERY_S
            if live is None:
                events, is_over = await self._look(run_id, place)
            else:
                is_over = live.event.name in STREAM_ENDS
                events = await self._with_ends(live, run_id, place) if live.event.name in ENDS else (live,)
            for each in events:
                yield each

    async def _look(self, run_id: str, place: Orderly) -> tuple[Sequence[LiveEvent | None], bool]:
        """Look at the row of a run of which nothing was heard for a while; return what to tell, and if that is all."""
        if self._closed:
            raise Unavailable(STOPPING)
        run = await self._store.read(lambda connection: runs.find(connection, run_id))
        if run is None:
            return (), True
        if run.status not in RESTING:
            return (None,), False
        if (live := await place.next(0)) is not None:
            return await self._with_ends(live, run_id, place), live.event.name in STREAM_ENDS
        untold = await self._untold(run, place)
        return ((None,), False) if untold is None else (untold, True)

    async def replay(
        self, project: str, thread_id: str, run_id: str, after: EventId | None
    ) -> AsyncGenerator[LiveEvent | None, None]:
        """Follow a run, live or finished, from any place; up to its end, or to where it waits now."""
        place = await self._logged(run_id, after)
        live_place = await self._bus.subscribe_live(run_id)
        snapshot = await self._store.read(lambda connection: snapshot_of(connection, project, thread_id, run_id))
        if place is not None:
            async for live in self._replay_log(snapshot.run, Orderly(place, after=after)):
                yield live
            return
        for told_live in _of_attempt(snapshot.run.attempt, snapshot.events):
            yield told_live
        if snapshot.run.status in RESTING:
            return
        after_rows = Orderly(
            live_place,
            passed=_passed(snapshot.run),
            finished=snapshot.finished,
            unfinished=snapshot.unfinished,
        )
        async for live in self.follow(run_id, after_rows):
            if live is None or not snapshot.covers(live.event):
                yield live

    async def again(self, run_id: str, attempt: int) -> AsyncGenerator[LiveEvent | None, None]:
        """Follow a run as a stream did that its client lost: from its beginning, or from where `attempt` paused."""
        place = await self._logged(run_id)
        before = [] if place is None or attempt == 0 else await _skip_pause(place, attempt)
        if place is not None and before is not None:
            orderly = Orderly(place, passed=attempt or -1)
            orderly.learn(before)
            async for live in self.follow(run_id, orderly):
                yield live
            return
        run = await self._store.read(lambda connection: runs.find(connection, run_id))
        if run is not None:
            async for live in self.replay(run.project, run.thread_id, run_id, None):
                yield live

    async def _replay_log(self, run: RunRecord, place: Orderly) -> AsyncGenerator[LiveEvent | None, None]:
        """Give out what is logged, then what comes; a pause that lies back in the log does not end the stream."""
        if run.status in RESTING:
            async for live in self._replay_to_rest(run, place):
                yield live
            return
        last: LiveEvent | None = None
        while last is None or last.event.name not in RUN_ENDS:
            known = last
            async for live in self.follow(run.id, place):
                last = live or last
                yield live
            if last is None or last is known:
                return
            if more := await place.next(0):
                last = more
                yield more
            elif last.id.attempt > _passed(run):
                return

    async def _replay_to_rest(self, run: RunRecord, place: Orderly) -> AsyncGenerator[LiveEvent | None, None]:
        last: LiveEvent | None = None
        while logged := await place.next(0 if last and last.event.name in STREAM_ENDS else TELLING_S):
            last = logged
            for each in await self._with_ends(logged, run.id, place):
                yield each
        if last is None or not _tells_rest(last, run):
            async for live in self.follow(run.id, place, at_once=True):
                yield live

    async def _logged(self, run_id: str, after: EventId | None = None) -> Subscription | None:
        with suppress(Unavailable):
            return await self._bus.subscribe(run_id, after)
        return None

    async def _with_ends(self, live: LiveEvent, run_id: str, place: Orderly) -> list[LiveEvent]:
        """Return an event; before a run's end, the ends of what is open: a server may have died before it told them.

        Before the end of what was not heard to begin, its beginning.
        """
        if place.lacks_beginning(live.event, live.id.attempt):
            return [*_of_attempt(live.id.attempt, all_before(live.event)), live]
        if live.event.name not in RUN_ENDS or not (place.has_open or place.resumed):
            return [live]
        with suppress(Unavailable):
            return [*await self._lost_ends(run_id, place), live]
        return [live]

    async def _lost_ends(self, run_id: str, place: Orderly) -> list[LiveEvent]:
        run = await self._store.read(lambda connection: runs.find(connection, run_id))
        rows = None if run is None else await self._rows(run)
        if rows is None:
            return []
        if place.resumed:
            place.learn(await _all_of(await self._logged(run_id)))
        lost = [each for each in rows.events if place.misses(each)]
        return _of_attempt(rows.run.attempt, with_all_before(lost, place))

    async def _rows(self, run: RunRecord) -> Snapshot | None:
        """Return what the rows say of a run; None if it was deleted just now."""
        with suppress(NotFound):
            of = (run.project, run.thread_id, run.id)
            return await self._store.read(lambda connection: snapshot_of(connection, *of))
        return None

    async def _untold(self, run: RunRecord, place: Orderly) -> list[LiveEvent] | None:
        """Return what the rows of a run at rest say and its log does not: the last events of it were lost.

        None: look again. The log has more, and the place goes on there; or what was told may yet come.
        """
        try:
            log = await self._bus.subscribe(run.id)
        except Unavailable:
            if self._may_yet_come(place):
                return None
            log = None
        logged = await _all_of(None if place.follows_rows else log)
        heard = logged[: place.heard_up_to(logged)]
        if len(heard) < len(logged):
            if (more := await self._logged(run.id, heard[-1].id if heard else None)) is not None:
                place.go_on_in(more)
            return None
        if any(_tells_rest(live, run) for live in heard):
            return []
        return await self._of_rows(run, place, heard)

    def _may_yet_come(self, place: Orderly) -> bool:
        now = self._clock.now()
        place.waits_since = now if place.waits_since is None else place.waits_since
        return now - place.waits_since < AWAY_S

    async def _of_rows(self, run: RunRecord, place: Orderly, logged: Sequence[LiveEvent]) -> list[LiveEvent] | None:
        """Return what rows say beyond what is logged; of a run without a log, the ends that the place misses."""
        rows = await self._rows(run)
        if rows is None:
            return _of_attempt(run.attempt, [told(run)])
        if (rows.run.status, rows.run.attempt) != (run.status, run.attempt):
            return None
        *parts, rest = rows.events
        begun = {about(live.event) for live in logged}
        ended = {about(live.event) for live in logged if live.event.name in ENDS}
        if logged:
            lost = [each for each in parts if about(each) not in (ended if each.name in ENDS else begun)]
        else:
            lost = [each for each in parts if place.misses(each)]
        return _of_attempt(run.attempt, [*with_all_before(lost, place), rest])

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
            if run.status in RESTING or left <= 0 or not self._hold_polls:
                return run
            try:
                async with asyncio.timeout(min(left, LOOK_EVERY_S)):
                    await _until_rest(place)
            except TimeoutError:
                continue
            except FellBehind:
                place = await self._bus.subscribe_live(run_id)


def _passed(run: RunRecord) -> int:
    """The last attempt of a run, which does not rest, whose pause lies back: one that is worked on may still pause."""
    return run.attempt - (run.status == "in_progress")


def _tells_rest(live: LiveEvent, run: RunRecord) -> bool:
    """Tell whether an event is the one of the rest that a run has come to: it ends once, but may pause often."""
    return live.event.name == f"thread.run.{run.status}" and (run.status in FINAL or live.id.attempt == run.attempt)


def _of_attempt(attempt: int, events: Sequence[Event]) -> list[LiveEvent]:
    """Give events out of rows an id, which is none of a log's."""
    return [LiveEvent(EventId(attempt, 0), each) for each in events]


async def _all_of(log: Subscription | None) -> list[LiveEvent]:
    found = []
    while log and (live := await log.next(0)):
        found.append(live)
    return found


async def _skip_pause(place: Subscription, attempt: int) -> list[LiveEvent] | None:
    """Go on to where an attempt waited for its client; return what lies before, or None if that is not in the log."""
    skipped = []
    while live := await place.next(0):
        skipped.append(live)
        if live.id.attempt == attempt and live.event.name in STREAM_ENDS:
            return skipped
    return None


async def _until_rest(place: Subscription) -> None:
    """Skip events until one after which the run rests, or until none comes for a while."""
    while live := await place.next(LOOK_EVERY_S):
        if live.event.name in STREAM_ENDS:
            return
