"""Vectors in memory: the contract also for what does not fit there, and the bound that is kept."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.storage import search_contract
from tests.storage.builders import PROJECT, migrated
from tests.storage.search_contract import DIMENSIONS, EMBEDDER, put, put_vectors, unit

from understudy.storage import chunks, vectors
from understudy.storage.nearest import Nearest
from understudy.storage.search_sqlite import SqliteKeywords
from understudy.storage.sqlite import SqliteStore

ROW = DIMENSIONS * 4 + 16  # bytes in memory: the vector, its key and its block


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    (tmp_path / "store.db").write_bytes(migrated())
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def keywords() -> SqliteKeywords:
    return SqliteKeywords()


@pytest.fixture
def nearest() -> Nearest:
    """One that keeps nothing: each search reads the vectors anew."""
    return Nearest(max_bytes=0)


class TestWithoutMemory(search_contract.PassagesAreFoundByTheirVectors):
    pass


async def _search(store: SqliteStore, nearest: Nearest, store_id: str, project: str = PROJECT) -> list[int]:
    one = await store.read(lambda c: chunks.store(c, project, store_id))
    assert one is not None
    (found,) = await store.read(lambda c: nearest.find(c, one, EMBEDDER, [unit(1)], 10))
    return list(found)


async def test_the_store_searched_longest_ago_makes_room(store: SqliteStore, keywords: SqliteKeywords) -> None:
    nearest = Nearest(max_bytes=5 * ROW)
    there = {}
    for store_id in ("vs_1", "vs_2", "vs_3"):
        there[store_id] = keys = await put(store, keywords, "x", "y", store_id=store_id)
        block = unit(1) + unit(1)
        await store.write(lambda c, s=store_id, k=keys, b=block: vectors.add(c, s, "file-1", EMBEDDER, k, b))
    for store_id in ("vs_1", "vs_2", "vs_1", "vs_3", "vs_2", "vs_1"):
        assert await _search(store, nearest, store_id) == there[store_id]
        assert nearest.bytes_in_memory <= 5 * ROW
    assert nearest.bytes_in_memory == 4 * ROW


async def test_a_project_makes_room_out_of_its_own(store: SqliteStore, keywords: SqliteKeywords) -> None:
    """One that searches many stores does not drive out those of another that searches one now and then."""
    nearest, read = Nearest(max_bytes=5 * ROW), []
    for store_id, project in (("vs_1", "proj_quiet"), ("vs_2", PROJECT), ("vs_3", PROJECT)):
        keys = await put(store, keywords, "x", "y", store_id=store_id, project=project)
        block = unit(1) + unit(1)
        await store.write(lambda c, s=store_id, k=keys, b=block: vectors.add(c, s, "file-1", EMBEDDER, k, b))
    await _search(store, nearest, "vs_1", "proj_quiet")
    for store_id in ("vs_2", "vs_3", "vs_2", "vs_3"):
        await _search(store, nearest, store_id)
        read.append(nearest.bytes_in_memory)
    there = {loaded.project for loaded in nearest._loaded.values()}
    assert there == {"proj_quiet", PROJECT}
    assert max(read) <= 5 * ROW


async def test_what_is_known_is_not_read_again(
    store: SqliteStore, keywords: SqliteKeywords, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearest = Nearest()
    read: list[int] = []
    real = vectors.read
    monkeypatch.setattr(vectors, "read", lambda c, ids: read.extend(ids) or real(c, ids))
    keys = await put(store, keywords, "a", "b", "c")
    await put_vectors(store, keys[:2], [unit(1), unit(1)])
    await _search(store, nearest, "vs_1")
    await _search(store, nearest, "vs_1")
    assert len(read) == 1
    await put_vectors(store, keys[2:], [unit(1)])
    assert await _search(store, nearest, "vs_1") == keys
    assert len(read) == 2
    assert nearest.bytes_in_memory == 3 * ROW


async def test_a_removed_file_leaves_the_memory(store: SqliteStore, keywords: SqliteKeywords) -> None:
    nearest = Nearest()
    first = await put(store, keywords, "a")
    second = await put(store, keywords, "b", file_id="file-2")
    await put_vectors(store, first, [unit(1)])
    await put_vectors(store, second, [unit(1)], file_id="file-2")
    await _search(store, nearest, "vs_1")
    await store.write(lambda c: vectors.remove(c, "vs_1", "file-1"))
    assert await _search(store, nearest, "vs_1") == second
    assert nearest.bytes_in_memory == ROW
