"""Removes what nobody needs any more: files and uploads past their hour, and bytes that no row owns."""

import logging
from functools import partial

from sqlalchemy import Connection

from understudy.files.base import FileStore
from understudy.ids import Clock
from understudy.ingest.files import SENDING_S, Files
from understudy.rounds import go_round
from understudy.storage import loose_bytes, uploads
from understudy.storage.base import Store

log = logging.getLogger(__name__)

EVERY_S = 30.0
BATCH = 100


class Upkeep:
    """Goes round on every server; several do no harm."""

    def __init__(self, store: Store, file_store: FileStore, files: Files, clock: Clock) -> None:
        self._store = store
        self._file_store = file_store
        self._files = files
        self._clock = clock

    async def serve(self) -> None:
        """Go round until cancelled."""
        await go_round(self.sweep, EVERY_S, log, "files could not be swept")

    async def sweep(self) -> None:
        """Go round once."""
        while await self._files.bury_expired(BATCH) == BATCH:
            pass
        while await self._store.write(self._end_uploads) == BATCH:
            pass
        await self._remove_loose()
        await self._file_store.tidy(SENDING_S)

    def _end_uploads(self, connection: Connection) -> int:
        now = self._clock.now()
        late = uploads.expired(connection, now, BATCH)
        for upload_id in late:
            uploads.end(connection, upload_id, "expired", now)
        return len(late)

    async def _remove_loose(self) -> None:
        while keys := await self._store.read(lambda connection: loose_bytes.due(connection, self._clock.now(), BATCH)):
            for key in keys:
                await self._file_store.delete(key)
            await self._store.write(partial(loose_bytes.forget, keys=keys))
