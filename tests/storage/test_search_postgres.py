"""Search on PostgreSQL: the same contracts, over text vectors."""

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from tests.contracts import contract
from tests.harness.postgres import Postgres
from tests.storage import search_contract
from tests.storage.search_contract import DIMENSIONS, EMBEDDER, known, put, put_vectors, unit

from understudy.storage import pgvector
from understudy.storage.nearest import Nearest
from understudy.storage.pgvector import PostgresNearest
from understudy.storage.postgres import PostgresStore, migrate_database
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
def nearest() -> PostgresNearest:
    return PostgresNearest(Untouched())


class Untouched(Nearest):
    """Numpy's search, where it is not to be needed."""

    def _parts(self, *_: Any) -> Any:
        raise AssertionError("pgvector is there")


globals().update(contract(search_contract))


class TestTheSameWithoutPgvector(search_contract.PassagesAreFoundByTheirVectors):
    @pytest.fixture
    async def nearest(self, store: PostgresStore) -> AsyncIterator[PostgresNearest]:
        await store.write(lambda c: c.exec_driver_sql("ALTER TABLE chunk_vectors RENAME TO elsewhere"))
        yield PostgresNearest(Nearest())
        await store.write(lambda c: c.exec_driver_sql("ALTER TABLE elsewhere RENAME TO chunk_vectors"))


async def test_both_find_the_same(store: PostgresStore, keywords: PostgresKeywords, nearest: PostgresNearest) -> None:
    chance = random.Random(11)
    keys = await put(store, keywords, *["z"] * 50)
    rows = [unit(*(chance.gauss(0, 1) for _ in range(DIMENSIONS))) for _ in keys]
    await put_vectors(store, keys, rows)
    one, queries = await known(store), [unit(*(chance.gauss(0, 1) for _ in range(DIMENSIONS))) for _ in range(5)]
    for index in (nearest, other := Nearest()):
        found = await store.read(lambda c, index=index: index.find(c, one, EMBEDDER, queries, 10))
        expected = await store.read(lambda c: other.find(c, one, EMBEDDER, queries, 10))
        assert [list(each) for each in found] == [list(each) for each in expected]
        for each, same in zip(found, expected, strict=True):
            assert each == pytest.approx(same, abs=1e-6)


async def test_what_another_version_wrote_is_found_by_numpy_and_then_filled_in(
    store: PostgresStore, keywords: PostgresKeywords, nearest: PostgresNearest
) -> None:
    keys = await put(store, keywords, "a", "b")
    await put_vectors(store, keys, [unit(1), unit(0, 1)])
    await store.write(lambda c: c.exec_driver_sql("DELETE FROM chunk_vectors"))
    one = await known(store)
    both = PostgresNearest(Nearest())
    (found,) = await store.read(lambda c: both.find(c, one, EMBEDDER, [unit(1)], 10))
    assert list(found) == keys
    assert await store.write(pgvector.fill) == 1
    assert await store.write(pgvector.fill) == 0
    (found,) = await store.read(lambda c: nearest.find(c, one, EMBEDDER, [unit(1)], 10))
    assert list(found) == keys


async def test_migrating_makes_and_fills_it_as_soon_as_it_can(postgres_server: Postgres) -> None:
    """Who has no right to the extension is migrated all the same; the next time it may be there."""
    url = postgres_server.database(migrated=False)
    postgres_server.execute("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN")
    postgres_server.execute(f"ALTER DATABASE {url.partition('@/')[2].partition('?')[0]} OWNER TO plain")
    migrate_database(url.replace("postgres@", "plain@"))
    store = PostgresStore(url.replace("postgres@", "plain@"), 4)
    await store.open()
    there = await store.read(pgvector.is_there)
    keys = await put(store, PostgresKeywords(), "a")
    await put_vectors(store, keys, [unit(1)])
    one = await known(store)
    (found,) = await store.read(lambda c: PostgresNearest(Nearest()).find(c, one, EMBEDDER, [unit(1)], 10))
    assert list(found) == keys
    with psycopg.connect(url, autocommit=True) as operator:
        operator.execute("CREATE EXTENSION vector")
    migrate_database(url.replace("postgres@", "plain@"))
    (found,) = await store.read(lambda c: PostgresNearest(Untouched()).find(c, one, EMBEDDER, [unit(1)], 10))
    assert (there, list(found)) == (False, keys)
    await store.close()
    postgres_server.drop(url)


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
