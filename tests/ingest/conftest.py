"""Fixtures of this room: a database, bytes in memory, and the services over them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ingest.shelf import Shelf, open_shelf
from tests.storage.builders import migrated

from understudy.ingest.files import Files
from understudy.ingest.uploads import Uploads
from understudy.storage.sqlite import SqliteStore
from understudy.testing import FakeClock, MemoryFileStore


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    (tmp_path / "files.db").write_bytes(migrated())
    store = SqliteStore(tmp_path / "files.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def file_store() -> MemoryFileStore:
    return MemoryFileStore()


@pytest.fixture
def files(store: SqliteStore, file_store: MemoryFileStore, clock: FakeClock) -> Files:
    return Files(store, file_store, clock)


@pytest.fixture
def uploads(store: SqliteStore, file_store: MemoryFileStore, files: Files, clock: FakeClock) -> Uploads:
    return Uploads(store, file_store, files, clock)


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    """Return an ingestion without a worker: tests that want one call `shelf.work()`."""
    async with open_shelf(tmp_path) as shelf:
        yield shelf
