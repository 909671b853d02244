"""Waiting for files to be taken in: by polls that are held, and by runs whose thread's store is not ready."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from understudy.bus.base import Bus, Signal
from understudy.ids import Clock
from understudy.protocol.vector_stores import FileBatch, VectorStoreFile
from understudy.storage import file_batches, vector_store_files, vector_stores
from understudy.storage.base import Store

T = TypeVar("T")

LOOK_EVERY_S = 3.0
"""How often who waits looks at the rows unasked: a lost signal must not hang them."""
BREATH_S = 0.05
"""Between two looks: a batch of a thousand files signals a thousand times."""


class Waits:
    """Waits for rows to come to rest, on any server."""

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._hold = True

    def release(self) -> None:
        """Answer whoever waits with how it is, within moments, from now on."""
        self._hold = False

    async def file(self, project: str, store_id: str, file_id: str, timeout_s: float) -> VectorStoreFile:
        """Return a file once it is taken in, or as it is when the time is up. Raises NotFound, NotInStore."""

        def read(connection: Connection) -> VectorStoreFile:
            vector_stores.get(connection, project, store_id)
            return vector_store_files.get(connection, store_id, file_id)

        job = vector_store_files.job_of(store_id, file_id)
        return await self._until(job, read, lambda file: file.status != "in_progress", timeout_s)

    async def batch(self, project: str, store_id: str, batch_id: str, timeout_s: float) -> FileBatch:
        """Return a batch once all of its files are taken in, or as it is when the time is up. Raises as `file`."""

        def read(connection: Connection) -> FileBatch:
            vector_stores.get(connection, project, store_id)
            return file_batches.get(connection, project, store_id, batch_id)

        return await self._until(store_id, read, lambda batch: not batch.file_counts["in_progress"], timeout_s)

    async def ready(self, store_id: str, timeout_s: float) -> bool:
        """Wait until no file of a store is being taken in; False if the time was too short."""

        def read(connection: Connection) -> int:
            found = vector_store_files.contents(connection, [store_id])
            return found[store_id].file_counts["in_progress"]

        return await self._until(store_id, read, lambda busy: not busy, timeout_s) == 0

    async def _until(
        self, row: str, read: Callable[[Connection], T], rests: Callable[[T], bool], timeout_s: float
    ) -> T:
        until = self._clock.now() + timeout_s
        while True:
            async with self._bus.signalled(row) as signal:  # first listen, then look: no signal falls in between
                found = await self._store.read(read)
                left = until - self._clock.now()
                if rests(found) or left <= 0 or not self._hold:
                    return found
                await _wait(signal, min(left, LOOK_EVERY_S))
            await asyncio.sleep(BREATH_S)


async def _wait(signal: Signal, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await signal.wait()
    except TimeoutError:
        return
