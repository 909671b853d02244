"""The bus of a server that is alone: an asyncio queue per kind of work, a log of events per run, a signal per row."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import get_args
from weakref import WeakSet, WeakValueDictionary

from understudy.bus.base import EventId, FellBehind, LiveEvent, Subscription, Work
from understudy.bus.signals import Listeners
from understudy.ids import Clock, SystemClock
from understudy.protocol.events import BEGINNINGS, Event

LOG_BYTES = 8 * 1024 * 1024
ALL_LOGS_BYTES = 64 * 1024 * 1024
EVENT_BYTES = 512
"""What an event costs beside its text."""
LINGER_S = 600.0
SWEEP_EVERY_S = 60.0


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Log:
    """A run's events since this process first heard of the run, less what was too much to keep."""

    whole: bool = False
    events: deque[LiveEvent] = field(default_factory=deque)
    dropped: int = 0
    size: int = 0
    touched_at: float = 0.0
    followers: "WeakSet[_Follower]" = field(default_factory=WeakSet)
    waiting: set[asyncio.Future[None]] = field(default_factory=set)

    def follower(self, place: int) -> "_Follower":
        follower = _Follower(self, place)
        self.followers.add(follower)
        return follower

    def append(self, live: LiveEvent) -> None:
        self.events.append(live)
        self.size += _weight(live)

    def bound(self, newest: int) -> None:
        """Let the oldest go, but none of so many that nobody can have read yet."""
        while self.size > LOG_BYTES and len(self.events) > newest:
            self.size -= _weight(self.events.popleft())
            self.dropped += 1

    async def growth(self, timeout_s: float) -> None:
        """Wait until there is more, or the time is up. Plain futures: this happens for every token of a stream."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        timer = loop.call_later(timeout_s, _release, waiter)
        self.waiting.add(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self.waiting.discard(waiter)

    def wake(self) -> None:
        for waiter in self.waiting:
            _release(waiter)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _weight(live: LiveEvent) -> int:
    return len(live.event.data) + EVENT_BYTES


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Follower:
    """A place in a log, counted in events since the log's beginning."""

    log: _Log
    place: int

    async def next(self, timeout_s: float) -> LiveEvent | None:
        if self._at() >= len(self.log.events):
            await self.log.growth(timeout_s)
        if (at := self._at()) >= len(self.log.events):
            return None
        self.place = self.log.dropped + at + 1
        return self.log.events[at]

    def _at(self) -> int:
        """The index of the next event."""
        if self.place < self.log.dropped:
            raise FellBehind
        return self.place - self.log.dropped


class _Jobs:
    """What waits to be done, each job once, in two lanes that take turns."""

    def __init__(self) -> None:
        self._lanes: tuple[deque[str], deque[str]] = (deque(), deque())
        self._behind_is_next = False
        self._waiting: set[str] = set()
        self._there = asyncio.Semaphore(0)
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, job: str, *, behind: bool) -> None:
        if job not in self._waiting:
            self._waiting.add(job)
            self._lanes[behind].append(job)
            self._there.release()

    async def take(self) -> str | None:
        """Wait for a job; None once there will be no more."""
        await self._there.acquire()
        if self._closed:
            self._there.release()  # for whoever else listens
            return None
        behind = bool(self._lanes[1]) and (self._behind_is_next or not self._lanes[0])
        self._behind_is_next = not behind
        job = self._lanes[behind].popleft()
        self._waiting.discard(job)
        return job

    def close(self) -> None:
        self._closed = True
        self._there.release()


class LocalBus:
    """Everything in one process and one event loop.

    The n of an event's id comes from one counter that starts at the clock, so that it rises across restarts and an id
    of an earlier process is never mistaken for one of this process.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        linger_s: float = LINGER_S,
        listener: Callable[[str, Sequence[Event]], None] | None = None,
    ) -> None:
        """`linger_s`: how long a log outlives its last event; `listener` hears every event that is published."""
        self._linger_s = linger_s
        self._listener = listener
        self._clock = clock or SystemClock()
        self._n = int(self._clock.now() * 1000)
        self._jobs: dict[Work, _Jobs] = {work: _Jobs() for work in get_args(Work)}
        self._logs: dict[str, _Log] = {}  # least recently told of first
        self._size = 0
        self._bound_at: float = ALL_LOGS_BYTES
        self._awaited: WeakValueDictionary[str, _Log] = WeakValueDictionary()  # nothing told yet: their followers' own
        self._listeners = Listeners()
        self._closed = False
        self._sweep_at = 0.0

    async def open(self) -> None:
        """There is nothing to connect to."""

    async def trouble(self) -> str | None:
        return None

    async def depth(self, work: Work = "runs") -> int:
        return len(self._jobs[work])

    async def enqueue(self, job: str, work: Work = "runs", *, behind: bool = False) -> None:
        self._jobs[work].put(job, behind=behind)

    async def jobs(self, work: Work = "runs") -> AsyncGenerator[str, None]:
        while not self._closed and (job := await self._jobs[work].take()) is not None:
            yield job

    async def taken(self, job: str, work: Work = "runs") -> None:
        """A job cannot be lost on its way here."""

    async def offer(self, thread_id: str, run_id: str) -> bool:
        """There is nobody else."""
        return False

    def offered(self, thread_id: str, take: Callable[[str], Awaitable[bool]]) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def publish(self, run_id: str, attempt: int, events: Sequence[Event]) -> list[EventId]:
        if not events:
            return []
        log = self._opened(run_id)
        if events[0].name in BEGINNINGS and not log.events:
            log.whole = True
        before = log.size
        ids = [self._append(log, attempt, event) for event in events]
        log.bound(len(ids))
        self._size += log.size - before
        log.wake()
        self._bound()
        if self._listener is not None:
            self._listener(run_id, events)
        return ids

    async def subscribe(self, run_id: str, after: EventId | None = None) -> Subscription | None:
        log = self._logs.get(run_id)
        if log is None:
            return None
        if after is None:
            return log.follower(0) if log.whole and not log.dropped else None
        for index, live in enumerate(log.events):
            if live.id == after:
                return log.follower(log.dropped + index + 1)
        return None

    async def subscribe_live(self, run_id: str, *, new: bool = False) -> Subscription:
        log = self._logs.get(run_id) or self._awaited.get(run_id)
        if log is None:
            log = self._awaited[run_id] = _Log()
        return log.follower(log.dropped + len(log.events))

    async def forget(self, run_id: str) -> None:
        self._drop(run_id)
        if awaited := self._awaited.pop(run_id, None):
            awaited.wake()

    async def signal(self, row: str) -> None:
        self._listeners.tell(row)

    def signalled(self, row: str) -> AbstractAsyncContextManager[asyncio.Event]:
        return self._listeners.listening(row)

    async def close(self) -> None:
        self._closed = True
        for jobs in self._jobs.values():
            jobs.close()
        for log in [*self._logs.values(), *self._awaited.values()]:
            log.wake()

    def _append(self, log: _Log, attempt: int, event: Event) -> EventId:
        self._n += 1
        event_id = EventId(attempt, self._n)
        log.append(LiveEvent(event_id, event))
        log.touched_at = self._clock.now()
        return event_id

    def _opened(self, run_id: str) -> _Log:
        """Return a run's log, as the one told of last."""
        now = self._clock.now()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_EVERY_S
            self._drop_old_logs(now - self._linger_s)
        log = self._logs.pop(run_id, None) or self._awaited.pop(run_id, None) or _Log()
        self._logs[run_id] = log
        return log

    def _drop_old_logs(self, limit: float) -> None:
        """A log lives on for a while past its last event, for clients that come back; then the rows have to tell."""
        for run_id, log in list(self._logs.items()):
            if log.touched_at >= limit:
                return
            if not log.followers:
                self._drop(run_id)

    def _bound(self) -> None:
        """Where much happens at once, the oldest logs go before their time; those that are followed stay."""
        if self._size <= self._bound_at:
            return
        for run_id in [run_id for run_id, log in self._logs.items() if not log.followers]:
            if self._size <= ALL_LOGS_BYTES * 0.9:
                break
            self._drop(run_id)
        self._bound_at = max(ALL_LOGS_BYTES, self._size * 1.1)  # if all are followed, do not look at each event

    def _drop(self, run_id: str) -> None:
        log = self._logs.pop(run_id, None)
        if log is not None:
            self._size -= log.size
            log.wake()
