"""How whoever holds a run writes and tells: each commit renews the lease, and fails if the run is no longer its own.

What is under way is brought to its end also where the drive is called off meanwhile: a commit that may or may not come
to pass, or one that nobody tells of, would leave the run's rows, its stream and the next worker at odds.
"""

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from understudy.bus.base import Bus
from understudy.errors import LeaseLost
from understudy.ids import Clock
from understudy.protocol.events import Event
from understudy.storage import runs
from understudy.storage.base import Store
from understudy.storage.runs import RunRecord

T = TypeVar("T")


class Leased:
    """Writes to runs that are held by a lease; holds no state of its own."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, lease_s: float) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._lease_s = lease_s

    async def commit(self, run: RunRecord, change: Callable[[Connection], T]) -> T:
        """Run a change in a transaction. Raises LeaseLost."""
        return await _to_its_end(self._commit(run, change))

    async def tell(self, run: RunRecord, change: Callable[[Connection], Sequence[Event]]) -> None:
        """Run a change in a transaction, then tell what it returns. Raises LeaseLost: then neither was done."""
        await _to_its_end(self._told(run, lambda: self._commit(run, change)))

    async def leave(self, run: RunRecord, change: Callable[[Connection], Sequence[Event]]) -> None:
        """As `tell`, for who may have lost the run: the change itself looks whose it is."""
        await _to_its_end(self._told(run, lambda: self._store.write(change)))

    async def _told(self, run: RunRecord, write: Callable[[], Awaitable[Sequence[Event]]]) -> None:
        await self.publish(run, await write())

    async def _commit(self, run: RunRecord, change: Callable[[Connection], T]) -> T:
        def guarded(connection: Connection) -> T:
            if not runs.renew(connection, run, self._clock.now() + self._lease_s):
                raise LeaseLost(run.id)
            return change(connection)

        return await self._store.write(guarded)

    async def publish(self, run: RunRecord, events: Sequence[Event]) -> None:
        """Tell what has been committed."""
        if events:
            await self._bus.publish(run.id, run.attempt, events)


async def _to_its_end(doing: Coroutine[Any, Any, T]) -> T:
    """Await what must not be left half done: whoever is called off meanwhile goes once it is done.

    A failure goes before the call-off: who hears of that one knows that all was done.
    """
    task = asyncio.ensure_future(doing)
    try:
        await asyncio.wait({task})
    except CancelledError:
        await asyncio.wait({task})
        task.result()
        raise
    return task.result()


def must_save(connection: Connection, run: RunRecord, was: RunRecord) -> None:
    """Write a run's new state. Raises LeaseLost."""
    if not runs.save(connection, run, was=was):
        raise LeaseLost(run.id)
