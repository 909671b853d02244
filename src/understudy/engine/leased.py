"""How whoever holds a run writes and tells: each commit renews the lease, and fails if the run is no longer its own."""

from collections.abc import Callable, Sequence
from typing import TypeVar

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

        def guarded(connection: Connection) -> T:
            if not runs.renew(connection, run, self._clock.now() + self._lease_s):
                raise LeaseLost(run.id)
            return change(connection)

        return await self._store.write(guarded)

    async def publish(self, run: RunRecord, events: Sequence[Event]) -> None:
        """Tell what has been committed."""
        if events:
            await self._bus.publish(run.id, run.attempt, events)


def must_save(connection: Connection, run: RunRecord, was: RunRecord) -> None:
    """Write a run's new state. Raises LeaseLost."""
    if not runs.save(connection, run, was=was):
        raise LeaseLost(run.id)
