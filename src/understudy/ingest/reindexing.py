"""Brings files that were indexed in another way than is done now up to date, one by one, in the background.

Another version of the terms, or another embedder, makes all files stale; they are found by their words meanwhile.
"""

import logging

from understudy.errors import LeaseLost
from understudy.ids import Clock
from understudy.ingest.index import Index
from understudy.ingest.intake import fence_of
from understudy.rounds import go_round
from understudy.storage import vector_store_files
from understudy.storage.base import Store
from understudy.storage.chunks import IndexedFile

log = logging.getLogger(__name__)

EVERY_S = 60.0
LEASE_S = 900.0
"""How long one file may take; of several servers one works on it."""


class Reindexing:
    """Goes round on every server that takes files in."""

    def __init__(self, store: Store, index: Index, clock: Clock, *, name: str) -> None:
        self._store = store
        self._index = index
        self._clock = clock
        self._name = name

    async def serve(self) -> None:
        """Go round until cancelled."""
        await go_round(self.sweep, EVERY_S, log, "files could not be indexed anew")

    async def sweep(self) -> int:
        """Go on until nothing is stale that is ours to mend; return how many files were. Raises Unavailable."""
        done = 0
        while mended := sum([await self._mend(file) for file in await self._index.stale()]):
            done += mended
        if done:
            log.info("%d files were indexed anew", done)
        return done

    async def _mend(self, file: IndexedFile) -> bool:
        """Index a file anew; False if it is still on its way in, gone, or somebody else's to mend."""
        now = self._clock.now()
        held = await self._store.write(
            lambda connection: vector_store_files.claim_anew(
                connection, file.vector_store_id, file.file_id, self._name, now, LEASE_S
            )
        )
        if held is None:
            return False
        try:
            await self._index.reindex(file, fence=fence_of(held, "completed"))
        except LeaseLost:
            return False
        finally:
            await self._store.write(lambda connection: vector_store_files.release(connection, held))
        return True
