"""Looks after runs that nobody looks after: past their time, or held by nobody. Runs on every server."""

import asyncio
import logging

from understudy.bus.base import Bus
from understudy.engine.endings import end
from understudy.ids import Clock
from understudy.protocol.runs import RunStatus
from understudy.rounds import go_round
from understudy.storage import posts, runs
from understudy.storage.base import Store
from understudy.storage.runs import RunRecord

log = logging.getLogger(__name__)

EVERY_S = 0.5
"""A dead worker's runs wait for their lease (8 s) and for this: together well below ten seconds."""
AT_ONCE = 20
"""Runs that are enqueued together: a bus that is away lets each wait for a moment."""
FORGET_EVERY_S = 30.0
QUEUE_PATIENCE_S = 30.0
"""How long a queued run's job may stay unclaimed before it is enqueued again."""


class Sweeper:
    """Selects in one statement, then moves each run through `transitions`, with its events."""

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._forget_at = 0.0

    async def serve(self) -> None:
        """Sweep until cancelled."""
        await go_round(self.sweep, EVERY_S, log, "the sweeper could not sweep")

    async def sweep(self) -> None:
        """Look once."""
        now = self._clock.now()
        left = []
        for run in await self._store.read(lambda connection: runs.needing_care(connection, now)):
            if run.status == "cancelling":
                await self._end(run, "cancelled")
            elif run.expires_at is not None and run.expires_at <= now:
                await self._expire(run, now)
            else:
                left.append(run)
        for batch in (left[start : start + AT_ONCE] for start in range(0, len(left), AT_ONCE)):
            await asyncio.gather(*(self._enqueue(run, now) for run in batch))
        if now >= self._forget_at:
            self._forget_at = now + FORGET_EVERY_S
            await self._store.write(lambda connection: posts.forget(connection, now))

    async def _expire(self, run: RunRecord, now: float) -> None:
        """A run that somebody works on is theirs to close: they know what was written last."""
        if run.status == "in_progress" and run.lease_until >= now:
            await self._bus.signal(run.id)
        else:
            await self._end(run, "expired")

    async def _end(self, run: RunRecord, status: RunStatus) -> None:
        now = self._clock.now()
        change = await self._store.write(lambda connection: end(connection, run, status, now))
        if change is not None:
            await self._bus.publish(run.id, run.attempt, change.events)
            await self._bus.signal(run.id)

    async def _enqueue(self, run: RunRecord, now: float) -> None:
        if run.status == "queued":
            until = now + QUEUE_PATIENCE_S
            if not await self._store.write(lambda connection: runs.be_patient(connection, run, until)):
                return
        await self._bus.enqueue(run.id, behind=run.status == "queued")  # most likely it waits there still
