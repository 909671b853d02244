"""Which sessions there are: one per key, a few warm ones for keys to come, and never more than the limit.

Nothing is started before somebody says that code will come; what nobody uses for long is ended, spares included.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakSet

from understudy.errors import Unavailable, UnderstudyError
from understudy.sandbox.session import JailSession

log = logging.getLogger(__name__)

_REFILL_S = 1.0  # the code that has just come is served first
_SWEEP_S = 5.0
_REMEMBERED = 10_000  # keys that had a session


@dataclass(frozen=True, slots=True)
class PoolSize:
    """Sessions and seconds. `warm` counts spares, which come on top of `sessions`."""

    sessions: int = 32
    warm: int = 1
    idle_s: float = 1800.0
    max_age_s: float = 3600.0
    wait_s: float = 60.0
    """How long a new key waits for a session to become free when all are busy."""


@dataclass(slots=True)
class _Place:
    """A key's place: who holds its lock uses the session."""

    session: JailSession | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0

    @property
    def alive(self) -> bool:
        return self.session is not None and self.session.alive


class Pool:
    """The sessions of one server."""

    def __init__(self, start: Callable[[], Awaitable[JailSession]], size: PoolSize) -> None:
        """`start` makes a session; what it raises comes out of `session`."""
        self._start = start
        self._size = size
        self._places: dict[str, _Place] = {}
        self._spares: list[JailSession] = []
        self._made: WeakSet[JailSession] = WeakSet()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._starting = 0
        self._freed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._filling = False
        self._sweeping = False
        self._closed = False
        self._asked = time.monotonic()

    @property
    def live(self) -> int:
        """Sessions that keys have."""
        return self._starting + sum(place.alive for place in self._places.values())

    @property
    def spares(self) -> int:
        """Sessions that wait for a key."""
        return sum(spare.alive for spare in self._spares)

    @asynccontextmanager
    async def session(self, key: str) -> AsyncIterator[JailSession]:
        """Hold a key's session. See `base.Sandbox`."""
        place = self._places.setdefault(key, _Place())
        place.users += 1
        try:
            await place.lock.acquire()
            try:
                yield await self._session_of(place, key)
            finally:
                self._release(place)
        finally:
            place.users -= 1
            self._tidy(key, place)

    def holds(self, key: str) -> bool:
        """Say whether a key has a session that lives."""
        return (place := self._places.get(key)) is not None and place.alive

    def warm(self) -> None:
        """Have spares, soon."""
        self._asked = time.monotonic()
        if not self._filling and not self._closed and self.spares < self._size.warm:
            self._filling = True
            self._in_background(self._fill())
        self._keep_sweeping()

    async def end(self, key: str) -> None:
        """End a key's session and forget it."""
        self._known.pop(key, None)
        if (place := self._places.get(key)) and place.session:
            await place.session.end()
            self._tidy(key, place)
            self._freed.set()

    async def aclose(self) -> None:
        """End everything."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # also those that no key has any more: their jails may not be closed yet
        ending = [session.end("the server stops") for session in self._made]
        await asyncio.gather(*ending, return_exceptions=True)
        self._spares.clear()

    # --- a key's session ------------------------------------------------------------------------------------------

    async def _session_of(self, place: _Place, key: str) -> JailSession:
        session = place.session
        if session and session.alive and time.monotonic() - session.born > self._size.max_age_s:
            await session.end("it was too old")
        if session is None or not session.alive:
            session = place.session = await self._new()
            session.restarted = key in self._known
        self._known[key] = None
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return session

    def _release(self, place: _Place) -> None:
        """Let the next holder in, once the code of this one has stopped."""
        if place.session and place.session.busy:
            self._in_background(self._release_when_settled(place, place.session))
        else:
            place.lock.release()
            self._freed.set()

    async def _release_when_settled(self, place: _Place, session: JailSession) -> None:
        try:
            await session.settled()
        finally:
            place.lock.release()
            self._freed.set()

    def _tidy(self, key: str, place: _Place) -> None:
        if not place.users and not place.alive and not place.lock.locked() and self._places.get(key) is place:
            del self._places[key]

    # --- new ones -------------------------------------------------------------------------------------------------

    async def _new(self) -> JailSession:
        await self._make_room()
        self._starting += 1
        try:
            while self._spares:
                spare = self._spares.pop()
                if spare.alive:
                    return spare
            return await self._make()
        finally:
            self._starting -= 1
            self.warm()

    async def _make(self) -> JailSession:
        session = await self._start()
        self._made.add(session)
        return session

    async def _make_room(self) -> None:
        if self._closed:
            raise Unavailable("the server stops")
        try:
            async with asyncio.timeout(self._size.wait_s):
                while self.live >= self._size.sessions:
                    if not await self._evict():
                        self._freed.clear()
                        await self._freed.wait()
        except TimeoutError:
            raise Unavailable(
                f"all {self._size.sessions} sessions of the code interpreter are busy; try again later, "
                "or raise sandbox_sessions"
            ) from None

    async def _evict(self) -> bool:
        """End the session that was used longest ago, if some are idle."""
        idle = [place.session for place in self._places.values() if place.session and _is_idle(place)]
        if not idle:
            return False
        await min(idle, key=lambda session: session.used).end("another one needed its place")
        return True

    async def _fill(self) -> None:
        try:
            if self.live:
                await asyncio.sleep(_REFILL_S)
            while self.spares < self._size.warm:
                self._spares.append(await self._make())
        except UnderstudyError as problem:
            log.warning("no session of the code interpreter could be made ready: %s", problem)
        finally:
            self._filling = False

    # --- in the background ----------------------------------------------------------------------------------------

    def _keep_sweeping(self) -> None:
        if not self._sweeping and not self._closed:
            self._sweeping = True
            self._in_background(self._sweep())

    async def _sweep(self) -> None:
        """End what has been idle for too long, until there is nothing left to end."""
        pause = min(_SWEEP_S, self._size.idle_s / 4, self._size.max_age_s / 4)
        try:
            while self.live or self._spares or self._filling:
                await asyncio.sleep(pause)
                now = time.monotonic()
                for key, place in list(self._places.items()):
                    await self._end_if_due(key, place, now)
                if now - self._asked > self._size.idle_s:
                    for spare in self._spares:
                        await spare.end("nobody needed it")
                self._spares = [spare for spare in self._spares if spare.alive]
        finally:
            self._sweeping = False

    async def _end_if_due(self, key: str, place: _Place, now: float) -> None:
        session = place.session
        if session and _is_idle(place):
            if now - session.used > self._size.idle_s:
                await session.end("it was idle for too long")
            elif now - session.born > self._size.max_age_s:
                await session.end("it was too old")
        if session and not session.alive:
            self._tidy(key, place)
            self._freed.set()

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_idle(place: _Place) -> bool:
    return place.alive and not place.lock.locked()
