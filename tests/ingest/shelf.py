"""Ingestion for tests: a real store and bus, a clock that stands still, files that are taken in as the test says."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.storage import builders as make
from tests.storage.builders import PROJECT, migrated

from understudy.bus.base import Bus
from understudy.bus.local import LocalBus
from understudy.ingest.search import Hit, Place
from understudy.ingest.stores import VectorStores
from understudy.ingest.sweeper import FileSweeper
from understudy.ingest.waiting import Waits
from understudy.ingest.worker import FileWorker
from understudy.protocol.search import SearchRanking
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
from understudy.storage.vector_store_files import FileRecord
from understudy.testing import FakeClock

SOON_S = 10.0
LEASE_S = 8.0
SIZE = 1045


@dataclass
class FakeIntake:
    """Takes files in as it is told: `outcomes` by file id (a size, an error to raise, or an event to wait for)."""

    outcomes: dict[str, Any] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    called_off: list[str] = field(default_factory=list)
    removed: list[tuple[str, str | None]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def take_in(self, held: FileRecord) -> int:
        self.begun.append(held.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._outcome(self.outcomes.get(held.id, SIZE))
        except asyncio.CancelledError:
            self.called_off.append(held.id)
            raise
        finally:
            self.at_once -= 1

    async def _outcome(self, outcome: Any) -> int:
        await asyncio.sleep(0)
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
            return SIZE
        if isinstance(outcome, Exception):
            raise outcome
        return int(outcome)

    async def remove(self, store_id: str, file_id: str | None = None) -> None:
        self.removed.append((store_id, file_id))


@dataclass
class FakeIndex:
    """Finds passages by the words that they share with a query. `passages`: (store, file, chunk): text."""

    passages: dict[tuple[str, str, str], str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int,
        ranking: SearchRanking,
        only: Collection[tuple[str, str]] | None,
    ) -> list[Hit]:
        self.asked.append({"project": project, "queries": list(queries), "limit": limit, "ranking": ranking})
        hits = [
            Hit(store_id, file_id, chunk_id, text, score)
            for (store_id, file_id, chunk_id), text in self.passages.items()
            if store_id in store_ids and (only is None or (store_id, file_id) in only)
            if (score := max(_likeness(text, query) for query in queries)) > ranking.score_threshold
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    async def passage(self, store_id: str, file_id: str, chunk_id: str) -> tuple[str, Place] | None:
        text = self.passages.get((store_id, file_id, chunk_id))
        return None if text is None else (text, Place(0, len(text), 1, ("Act IV", "Scene V")))

    async def content(self, store_id: str, file_id: str) -> list[str]:
        return [text for (store, file, _), text in self.passages.items() if (store, file) == (store_id, file_id)]


def _likeness(text: str, query: str) -> float:
    wanted = set(query.lower().split())
    return len(wanted & set(text.lower().split())) / max(1, len(wanted))


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
        found = await self.waits.file(PROJECT, store_id, file_id, SOON_S)
        assert found.status != "in_progress"
        return found

    async def seen(self, store_id: str) -> VectorStore:
        return await self.store.read(
            lambda c: vector_stores.shown(c, [vector_stores.get(c, PROJECT, store_id)], self.clock.now())[0]
        )

    async def row(self, store_id: str, file_id: str) -> Any:
        return await self.store.read(lambda c: vector_store_files.find(c, store_id, file_id))

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
