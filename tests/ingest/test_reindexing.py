"""Files that were indexed in another way are brought up to date, without anybody's seeing it."""

import asyncio

import pytest
from tests.ingest.fakes import SIZE
from tests.ingest.shelf import Shelf
from tests.ingest.test_index import CAT, SHIP, FakeEmbedder, cut
from tests.storage.builders import PROJECT

from understudy.errors import Unavailable
from understudy.ingest.index import Index
from understudy.ingest.reindexing import LEASE_S, Reindexing
from understudy.storage import vector_store_files
from understudy.storage.nearest import Nearest
from understudy.storage.search_sqlite import SqliteKeywords


def index_with(shelf: Shelf, embedder: FakeEmbedder) -> Index:
    return Index(shelf.store, SqliteKeywords(), Nearest(), embedder)


async def taken_in(shelf: Shelf, count: int = 1) -> tuple[str, list[str]]:
    """A store whose files were indexed with the first embedder."""
    shelf.work()
    members = await shelf.files(count)
    store_id = await shelf.make(*members)
    for file_id in members:
        await shelf.rest(store_id, file_id)
        await index_with(shelf, FakeEmbedder()).add(PROJECT, store_id, file_id, cut(CAT, SHIP))
    return store_id, members


def reindexing(shelf: Shelf, index: Index, name: str = "one") -> Reindexing:
    return Reindexing(shelf.store, index, shelf.clock, name=name)


async def found(index: Index, store_id: str) -> list[str]:
    return [hit.text for hit in await index.search(PROJECT, [store_id], ["고양이"]) if hit.score > 0.15]


async def test_another_embedder_means_another_index(shelf: Shelf) -> None:
    store_id, members = await taken_in(shelf, 3)
    before = [await shelf.row(store_id, file_id) for file_id in members]
    index = index_with(shelf, FakeEmbedder("topics/2"))
    assert await found(index, store_id) == []
    assert await reindexing(shelf, index).sweep() == 3
    assert await found(index, store_id) == [CAT] * 3
    assert await reindexing(shelf, index).sweep() == 0
    for row, file_id in zip(before, members, strict=True):
        now = await shelf.row(store_id, file_id)
        assert (now["status"], now["usage_bytes"], now["worker"]) == (row["status"], SIZE, None)


async def test_a_file_on_its_way_in_is_left_to_its_worker(shelf: Shelf) -> None:
    [file_id] = await shelf.files(1)
    gate = shelf.intake.outcomes[file_id] = asyncio.Event()
    shelf.work()
    store_id = await shelf.make(file_id)
    await shelf.until(lambda: shelf.intake.begun)
    index = index_with(shelf, FakeEmbedder())
    await index.add_terms(PROJECT, store_id, file_id, cut(CAT))
    assert await reindexing(shelf, index).sweep() == 0
    gate.set()
    await shelf.rest(store_id, file_id)
    assert await reindexing(shelf, index).sweep() == 1


async def test_of_several_servers_one_does_it(shelf: Shelf) -> None:
    store_id, [file_id] = await taken_in(shelf)
    held = await shelf.store.write(
        lambda c: vector_store_files.claim_anew(c, store_id, file_id, "other", shelf.clock.now(), LEASE_S)
    )
    assert held is not None
    index = index_with(shelf, FakeEmbedder("topics/2"))
    assert await reindexing(shelf, index).sweep() == 0
    shelf.clock.advance(LEASE_S + 1)
    assert await reindexing(shelf, index).sweep() == 1
    assert not await shelf.store.read(lambda c: vector_store_files.is_held(c, held, "completed"))


async def test_a_file_that_is_taken_away_meanwhile_is_let_be(shelf: Shelf) -> None:
    store_id, [file_id] = await taken_in(shelf)
    index = index_with(shelf, FakeEmbedder("topics/2"))
    [stale] = await index.stale()
    await shelf.store.write(lambda c: vector_store_files.remove(c, store_id, file_id))
    assert [file.file_id for file in await index.stale()] == [stale.file_id]
    assert await reindexing(shelf, index).sweep() == 0


async def test_an_embedder_that_is_off_is_told_of_and_nothing_stays_held(shelf: Shelf) -> None:
    store_id, [file_id] = await taken_in(shelf)
    index = index_with(shelf, FakeEmbedder("topics/2", broken=True))
    with pytest.raises(Unavailable):
        await reindexing(shelf, index).sweep()
    assert (await shelf.row(store_id, file_id))["worker"] is None
