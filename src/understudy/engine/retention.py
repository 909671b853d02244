"""Deletes threads that nobody has used for long. Off unless a setting says how long that is."""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial

from understudy.ids import Clock
from understudy.rounds import go_round
from understudy.storage import threads
from understudy.storage.base import Store

log = logging.getLogger(__name__)

EVERY_S = 600.0
BATCH = 50
ROWS = 500
BREATH_S = 0.05
"""Between two batches: requests come first."""
DAY_S = 86_400


@dataclass(slots=True)
class Swept:
    """What a round did."""

    deleted: int = 0
    rows: int = 0


class Retention:
    """Walks through all threads in small batches, again and again. A thread with an active run is in use."""

    def __init__(self, store: Store, clock: Clock, days: float, every_s: float = EVERY_S) -> None:
        self._store = store
        self._clock = clock
        self._days = days
        self._every_s = every_s

    async def serve(self) -> None:
        """Go round until cancelled."""
        await go_round(self.sweep, self._every_s, log, "old threads could not be deleted")

    async def sweep(self) -> Swept:
        """Go round once: first a tombstone, then, piece by piece, what was in the thread."""
        limit = int(self._clock.now() - self._days * DAY_S)
        swept, after = Swept(), ""
        while True:
            found = await self._store.read(partial(threads.unused, after=after, limit=limit, count=BATCH))
            if found.unused:
                bury = partial(threads.bury_unused, thread_ids=found.unused, limit=limit)
                swept.deleted += await self._store.write(bury)
            for thread_id in [*found.unused, *found.unemptied]:
                swept.rows += await self._empty(thread_id)
            if found.last is None:
                break
            after = found.last
            await asyncio.sleep(BREATH_S)
        if swept.deleted:
            log.info("deleted %d threads that were not used for %g days", swept.deleted, self._days)
        return swept

    async def _empty(self, thread_id: str) -> int:
        total = 0
        while gone := await self._store.write(partial(threads.empty, thread_id=thread_id, count=ROWS)):
            total += gone
            await asyncio.sleep(BREATH_S)
        return total
