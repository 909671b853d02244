"""Ingestion for tests: a real store and bus, a clock that stands still, files that are taken in as the test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ingest.fakes import FakeIntake
from tests.storage import builders as make
from tests.storage.builders import PROJECT, migrated

from understudy.bus.base import Bus
from understudy.bus.local import LocalBus
from understudy.ingest.stores import VectorStores
from understudy.ingest.sweeper import FileSweeper
from understudy.ingest.waiting import Waits
from understudy.ingest.worker import FileWorker
from understudy.protocol.vector_stores import (
    AddFile,
    AddFileBatch,
    CreateVectorStore,
    FileBatch,
    VectorStore,
    VectorStoreFile,
)
from understudy.storage import vector_store_files, vector_stores
from understudy.storage.sqlite import SqliteStore
from understudy.testing import FakeClock

SOON_S = 10.0
LEASE_S = 8.0


@dataclass
class Shelf:
    store: SqliteStore
    bus: Bus
    clock: FakeClock
    intake: FakeIntake
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vector_stores = VectorStores(self.store, self.bus, self.clock)
        self.waits = Waits(self.store, self.bus, self.clock)
        self.sweeper = FileSweeper(self.store, self.bus, self.clock)

    def worker(self, name: str = "worker", concurrency: int = 8) -> FileWorker:
        return FileWorker(
            self.store, self.bus, self.intake, self.clock, name=name, lease_s=LEASE_S, concurrency=concurrency
        )

    def work(self, **given: Any) -> FileWorker:
        """Let a worker serve until the shelf is put away."""
        worker = self.worker(**given)
        self.tasks.append(asyncio.create_task(worker.serve()))
        return worker

    async def files(self, count: int) -> list[str]:
        return await make.stored_files(self.store, count)

    async def make(self, *file_ids: str, **given: Any) -> str:
        """A vector store with files, whose jobs are enqueued."""
        wanted = CreateVectorStore.model_validate({"file_ids": list(file_ids)} | given)
        return (await self.vector_stores.create(PROJECT, wanted)).id

    async def add(self, store_id: str, file_id: str, **given: Any) -> VectorStoreFile:
        wanted = AddFile.model_validate({"file_id": file_id} | given)
        return await self.vector_stores.add_file(PROJECT, store_id, wanted)

    async def add_batch(self, store_id: str, *file_ids: str) -> FileBatch:
        return await self.vector_stores.add_batch(PROJECT, store_id, AddFileBatch(file_ids=list(file_ids)))

    async def rest(self, store_id: str, file_id: str) -> VectorStoreFile:
        """Wait until a file is no longer in progress, and return it."""
        async with asyncio.timeout(SOON_S):  # the clock stands still: a wait by it has no end
            found = await self.waits.file(PROJECT, store_id, file_id, SOON_S)
        assert found.status != "in_progress"
        return found

    async def seen(self, store_id: str) -> VectorStore:
        return await self.store.read(
            lambda c: vector_stores.shown(c, [vector_stores.get(c, PROJECT, store_id)], self.clock.now())[0]
        )

    async def row(self, store_id: str, file_id: str) -> Any:
        return await self.store.read(lambda c: vector_store_files.find(c, store_id, file_id))

    async def until_emptied(self, store_id: str, file_id: str) -> None:
        """Look again and again until nothing is left over of a file."""
        async with asyncio.timeout(SOON_S):
            while await self.store.read(  # noqa: ASYNC110  # the database tells nobody
                lambda c: vector_store_files.is_left_over(c, store_id, file_id)
            ):
                await asyncio.sleep(0.005)

    async def until(self, true: Any) -> None:
        """Look again and again until something is so."""
        async with asyncio.timeout(SOON_S):
            while not true():  # noqa: ASYNC110  # what it looks at is no task of ours
                await asyncio.sleep(0.005)


@asynccontextmanager
async def open_shelf(folder: Path) -> AsyncIterator[Shelf]:
    clock = FakeClock()
    (folder / "shelf.db").write_bytes(migrated())
    store = SqliteStore(folder / "shelf.db")
    await store.open()
    shelf = Shelf(store, LocalBus(clock), clock, FakeIntake())
    try:
        yield shelf
    finally:
        await shelf.bus.close()
        for task in shelf.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await store.close()
