"""Search on PostgreSQL: the same contracts, over text vectors."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.contracts import contract
from tests.harness.postgres import Postgres
from tests.storage import search_contract
from tests.storage.search_contract import known, put

from understudy.storage.nearest import Nearest
from understudy.storage.postgres import PostgresStore
from understudy.storage.schema import metadata
from understudy.storage.search_postgres import PostgresKeywords

_EMPTY = "; ".join(f"DELETE FROM {table}" for table in ("chunk_terms", *metadata.tables))


@pytest.fixture(scope="module")
def url(postgres_server: Postgres) -> Iterator[str]:
    url = postgres_server.database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, 4)
    await store.open()
    await store.write(lambda connection: connection.exec_driver_sql(_EMPTY))
    yield store
    await store.close()


@pytest.fixture
def keywords() -> PostgresKeywords:
    return PostgresKeywords()


@pytest.fixture
def nearest() -> Nearest:
    return Nearest()


globals().update(contract(search_contract))


async def test_a_rare_term_weighs_more_than_common_ones(store: PostgresStore, keywords: PostgresKeywords) -> None:
    await put(store, keywords, *["cat cat dog"] * 5, "cat emu", "emu owl")
    number = (await known(store)).number
    found = await store.read(lambda c: keywords.find(c, number, ["cat", "emu", "owl"], 2))
    everything = await store.read(lambda c: keywords.find(c, number, ["cat", "dog", "emu", "owl"], 10))
    assert len(everything) == 7
    assert set(found) == set(sorted(everything)[-2:]), "the two with emu"


@pytest.mark.parametrize("term", ["it's", "a\\b", "a:b", "a&b|c", "!x", "(y)", "'", "가나", "*a"])
async def test_odd_terms_are_terms(store: PostgresStore, keywords: PostgresKeywords, term: str) -> None:
    await put(store, keywords, f"{term} cat", "dog")
    number = (await known(store)).number
    assert len(await store.read(lambda c: keywords.find(c, number, [term], 10))) == 1


async def test_a_long_passage_keeps_all_of_its_terms(store: PostgresStore, keywords: PostgresKeywords) -> None:
    await put(store, keywords, " ".join([f"t{number}" for number in range(20_000)] + ["cat"] * 300 + ["end"]))
    number = (await known(store)).number
    assert await store.read(lambda c: keywords.frequencies(c, number, ["t19999", "cat", "end"])) == {
        "t19999": 1,
        "cat": 1,
        "end": 1,
    }
