"""A store that is deleted or expires while somebody writes to it: nothing of it stays in the index."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.ingest.shelf import LEASE_S, SOON_S, Shelf
from tests.ingest.test_index import CAT, SHIP, FakeEmbedder, cut
from tests.storage.builders import PROJECT

from understudy.errors import LeaseLost
from understudy.ingest.index import Index
from understudy.ingest.intake import fence_of
from understudy.ingest.reindexing import Reindexing
from understudy.ingest.worker import TOO_LATE
from understudy.protocol.vector_stores import DAY_S
from understudy.storage import vector_store_files
from understudy.storage.nearest import Nearest
from understudy.storage.schema import chunks, indexed_files, vector_blocks
from understudy.storage.search_sqlite import SqliteKeywords

POLICY = {"anchor": "last_active_at", "days": 1}
ENDS = ("deleted", "expired")


class SlowEmbedder(FakeEmbedder):
    """Makes vectors when it is let."""

    def __init__(self, name: str = "topics/1") -> None:
        super().__init__(name)
        self.asked_for, self.may = asyncio.Event(), asyncio.Event()

    async def embed(self, texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        self.asked_for.set()
        await self.may.wait()
        return await super().embed(texts, urgent=urgent)


class Emptying:
    """Stands in for the shelf's intake when a store is emptied: who writes to the store goes on right after that,

    as does a worker elsewhere that is in the middle of a file and has heard nothing.
    """

    def __init__(self, shelf: Shelf, embedder: SlowEmbedder) -> None:
        self.index = Index(shelf.store, SqliteKeywords(), Nearest(), embedder)
        self.done = asyncio.Event()
        self._shelf, self._embedder = shelf, embedder
        self._remove = shelf.intake.remove
        shelf.intake.remove = self.remove  # type: ignore[method-assign]  # all else is as on any shelf

    async def remove(self, store_id: str, file_id: str | None = None) -> None:
        await self._remove(store_id, file_id)
        if file_id is None:
            await self.index.remove_store(store_id)
            self._embedder.may.set()
            await self.writing
            self.done.set()

    def write(self, writing: Any) -> None:
        """Let something go on beside, up to where it wants vectors."""

        async def tolerant() -> Any:
            try:
                return await writing
            except LeaseLost as lost:
                return lost

        self.writing: asyncio.Task[Any] = asyncio.create_task(tolerant())


async def end(shelf: Shelf, store_id: str, how: str) -> None:
    if how == "deleted":
        await shelf.vector_stores.delete(PROJECT, store_id)
    else:
        shelf.clock.advance(DAY_S)
        await shelf.sweeper.sweep()


async def left(shelf: Shelf) -> list[int]:
    """How many passages, vectors and files the index has."""
    counts = [select(func.count()).select_from(table) for table in (chunks, vector_blocks, indexed_files)]
    return await shelf.store.read(lambda c: [c.execute(count).scalar_one() for count in counts])


@pytest.mark.parametrize("how", ENDS)
async def test_a_file_that_goes_in_leaves_nothing(shelf: Shelf, how: str) -> None:
    embedder = SlowEmbedder()
    emptying = Emptying(shelf, embedder)
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id, expires_after=POLICY)
    held = await shelf.store.write(
        lambda c: vector_store_files.claim(c, store_id, file_id, "elsewhere", shelf.clock.now(), DAY_S + LEASE_S)
    )
    assert held is not None
    emptying.write(emptying.index.add(PROJECT, store_id, file_id, cut(CAT, SHIP), fence=fence_of(held)))
    await asyncio.wait_for(embedder.asked_for.wait(), SOON_S)
    assert await left(shelf) == [2, 0, 1]
    shelf.work()
    await end(shelf, store_id, how)
    await asyncio.wait_for(emptying.done.wait(), SOON_S)
    assert isinstance(await emptying.writing, LeaseLost)
    assert await left(shelf) == [0, 0, 0]


@pytest.mark.parametrize("how", ENDS)
async def test_a_file_that_is_indexed_anew_leaves_nothing(shelf: Shelf, how: str) -> None:
    embedder = SlowEmbedder("topics/2")
    shelf.work()
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id, expires_after=POLICY)
    await shelf.rest(store_id, file_id)
    before = Index(shelf.store, SqliteKeywords(), Nearest(), FakeEmbedder())
    await before.add(PROJECT, store_id, file_id, cut(CAT, SHIP))
    emptying = Emptying(shelf, embedder)
    emptying.write(Reindexing(shelf.store, emptying.index, shelf.clock, name="elsewhere").sweep())
    await asyncio.wait_for(embedder.asked_for.wait(), SOON_S)
    await end(shelf, store_id, how)
    await asyncio.wait_for(emptying.done.wait(), SOON_S)
    assert await emptying.writing == 0
    assert await left(shelf) == [0, 0, 0]


@pytest.mark.parametrize("how", ENDS)
async def test_the_worker_lets_go_at_once(shelf: Shelf, how: str) -> None:
    shelf.work(concurrency=2)
    [file_id] = await shelf.files(1)
    shelf.intake.outcomes[file_id] = asyncio.Event()  # never set
    store_id = await shelf.make(file_id, expires_after=POLICY)
    await shelf.until(lambda: shelf.intake.begun)
    await end(shelf, store_id, how)
    await shelf.until(lambda: shelf.intake.called_off == [file_id])
    if how == "expired":
        found = await shelf.rest(store_id, file_id)
        assert (found.status, found.last_error) == ("failed", TOO_LATE)
    assert shelf.intake.begun == [file_id]
