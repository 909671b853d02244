"""Search in SQLite: the contracts, and that a search keeps to its store's posting lists."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.storage import search_contract
from tests.storage.builders import migrated
from tests.storage.search_contract import known, put

from understudy.storage.nearest import Nearest
from understudy.storage.search_sqlite import SqliteKeywords
from understudy.storage.sqlite import SqliteStore


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
    return Nearest()


class TestPassagesAreKept(search_contract.PassagesAreKept):
    pass


class TestPassagesAreFoundByTheirTerms(search_contract.PassagesAreFoundByTheirTerms):
    pass


class TestTheLikeliestAreAmongThoseProposed(search_contract.TheLikeliestAreAmongThoseProposed):
    pass


class TestPassagesAreFoundByTheirVectors(search_contract.PassagesAreFoundByTheirVectors):
    pass


async def test_the_index_is_whole_after_all_that(store: SqliteStore, keywords: SqliteKeywords) -> None:
    """SQLite compares the index with itself; what was removed must have left nothing."""
    await put(store, keywords, "cat dog", "bird")
    await put(store, keywords, "cat", file_id="file-2")
    from understudy.storage import chunks

    await store.write(lambda c: chunks.remove(c, keywords, "vs_1", "file-1", 10))
    check = "INSERT INTO chunk_terms (chunk_terms) VALUES ('integrity-check')"
    await store.write(lambda c: c.exec_driver_sql(check))
    await store.write(lambda c: chunks.remove(c, keywords, "vs_1", "file-2", 10))
    number = (await known(store)).number
    assert await store.read(lambda c: keywords.find(c, number, ["cat", "dog", "bird"], 10)) == []
