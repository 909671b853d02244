"""Looks after files that nobody looks after: waiting for too long, left by a dead worker, or gone but not yet removed.

Runs on every server. What it finds it enqueues; the workers do the rest.
"""

import logging

from understudy.bus.base import Bus
from understudy.ids import Clock
from understudy.rounds import go_round
from understudy.storage import vector_store_files, vector_stores
from understudy.storage.base import Store

log = logging.getLogger(__name__)

EVERY_S = 2.0
AT_ONCE = 500


class FileSweeper:
    """Selects, then enqueues."""

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock

    async def serve(self) -> None:
        """Sweep until cancelled."""
        await go_round(self.sweep, EVERY_S, log, "the sweeper of files could not sweep")

    async def sweep(self) -> None:
        """Look once."""
        now = self._clock.now()
        jobs = await self._store.read(lambda connection: vector_store_files.unheld(connection, now, AT_ONCE))
        if jobs:
            await self._store.write(lambda connection: vector_store_files.be_patient(connection, jobs, now))
        left = await self._store.read(lambda connection: vector_store_files.left_over(connection, AT_ONCE))
        jobs += [vector_store_files.job_of(*one) for one in left]
        jobs += await self._store.read(lambda connection: vector_stores.to_empty(connection, now, AT_ONCE))
        for job in jobs:
            await self._bus.enqueue(job, "files", behind=True)  # most wait there still
