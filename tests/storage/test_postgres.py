"""PostgreSQL: the contracts of a Store, and what is this adapter's own."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from tests.contracts import contract
from tests.harness.postgres import Postgres
from tests.storage import store_contract
from tests.storage.builders import PROJECT, stored_thread, thread
from tests.storage.contracts import STORE_CONTRACTS

from understudy.bus.local import LocalBus
from understudy.engine.conversation import Conversations
from understudy.engine.retries import CLOCKS_AGREE_S, AnsweredBefore, Once
from understudy.errors import ConfigurationError, InvalidRequest
from understudy.protocol.threads import CreateThread
from understudy.storage import faults, migrate, postgres, threads
from understudy.storage.base import Store, TryAgain
from understudy.storage.faults import InDoubt, StorageFault
from understudy.storage.postgres import PostgresStore, engine_of
from understudy.storage.posts import Post
from understudy.storage.schema import metadata
from understudy.testing import FakeClock

counter = store_contract.counter

OTHER = ("chunk_terms", "chunk_vectors")  # not of the common schema: SQLite has others in their place, or none
_EMPTY = "; ".join(f"DELETE FROM {table}" for table in metadata.tables)


@pytest.fixture(scope="module")
def url(postgres_server: Postgres) -> Iterator[str]:
    url = postgres_server.database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = engine_of(url, 2)
    yield engine
    engine.dispose()


@pytest.fixture
async def store(url: str, engine: Engine) -> AsyncIterator[PostgresStore]:
    with engine.begin() as connection:
        connection.exec_driver_sql(_EMPTY)
    store = PostgresStore(url)
    await store.open()
    yield store
    await store.close()


globals().update(contract(*STORE_CONTRACTS))


# --- PostgreSQL's own --------------------------------------------------------------------------------------------


@pytest.fixture
def empty(postgres_server: Postgres) -> Iterator[str]:
    url = postgres_server.database(migrated=False)
    yield url
    postgres_server.drop(url)


async def _opened(url: str) -> None:
    store = PostgresStore(url)
    try:
        await store.open()
    finally:
        await store.close()


async def test_an_empty_database_is_migrated_on_request_only(empty: str) -> None:
    with pytest.raises(ConfigurationError, match=r"the database is empty; run `understudy migrate`"):
        await _opened(empty)
    both = await asyncio.gather(*[asyncio.to_thread(postgres.migrate_database, empty) for _ in range(2)])
    assert {after for _, after in both} == {migrate.head()}
    await _opened(empty)
    assert postgres.migrate_database(empty) == (migrate.head(), migrate.head())


async def test_another_schema_is_told_and_left_alone(postgres_server: Postgres) -> None:
    url = postgres_server.database()
    engine = engine_of(url, 1)
    for revision, words in (("0000", "is newer than"), (migrate.revisions()[0], "run `understudy migrate`")):
        with engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
        with pytest.raises(ConfigurationError, match=f"the database has schema {revision}.*{words}"):
            await _opened(url)
    engine.dispose()
    postgres_server.drop(url)


def test_the_schema_and_its_migrations_agree(engine: Engine) -> None:
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name not in OTHER}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_partial_indexes_agree_too(postgres_server: Postgres, engine: Engine) -> None:
    query = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
        "AND tablename NOT IN ('alembic_version', 'chunk_terms', 'chunk_vectors') ORDER BY 1"
    )
    url = postgres_server.database(migrated=False)
    fresh = engine_of(url, 1)
    with fresh.begin() as connection:
        metadata.create_all(connection)
    with engine.connect() as migrated, fresh.connect() as made:
        assert migrated.exec_driver_sql(query).all() == made.exec_driver_sql(query).all()
    fresh.dispose()
    postgres_server.drop(url)


async def test_a_read_cannot_write(store: PostgresStore) -> None:
    with pytest.raises(StorageFault, match="takes no writes"):
        await store.read(lambda connection: threads.add(connection, PROJECT, thread()))


async def test_writers_go_side_by_side(store: PostgresStore) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        threads.add(connection, "proj_slow", thread())
        inside.set()
        leave.wait(10)

    writing = asyncio.ensure_future(store.write(slow))
    assert await asyncio.to_thread(inside.wait, 10)
    await stored_thread(store)
    leave.set()
    await writing


async def test_a_restart_costs_no_write(store: PostgresStore, postgres_server: Postgres) -> None:
    """Each write is acknowledged and there, or was in doubt: also over a crash."""
    confirmed: list[str] = []
    doubted = 0

    async def write_on(until: float) -> None:
        nonlocal doubted
        while time.monotonic() < until:
            try:
                confirmed.append((await stored_thread(store)).id)
            except InDoubt:
                doubted += 1

    writing = [asyncio.ensure_future(write_on(time.monotonic() + 4)) for _ in range(4)]
    await asyncio.sleep(0.5)
    await asyncio.to_thread(postgres_server.restart)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(postgres_server.kill)
    before = len(confirmed)
    await asyncio.to_thread(postgres_server.start)
    await asyncio.gather(*writing)
    rows = await store.read(lambda connection: connection.exec_driver_sql("SELECT id FROM threads").scalars().all())
    assert len(confirmed) > before > 0
    assert set(confirmed) <= set(rows)
    assert len(rows) <= len(confirmed) + doubted


async def test_who_is_stopped_amid_a_change_does_not_hold_up_others(
    url: str, counter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change of the one that was stopped is undone, and made anew when it goes on."""
    monkeypatch.setattr(postgres, "_SESSION", postgres._SESSION.replace("5000", "300"))
    stopped = PostgresStore(url)
    inside, tries = threading.Event(), []

    def stop_amid(connection: Connection) -> int:
        made = store_contract._add_one(connection, counter)
        tries.append(made)
        inside.set()
        if len(tries) == 1:
            time.sleep(1.5)
        return made

    first = asyncio.ensure_future(stopped.write(stop_amid))
    assert await asyncio.to_thread(inside.wait, 10)
    began = time.monotonic()
    other = PostgresStore(url)
    assert await other.write(lambda connection: store_contract._add_one(connection, counter)) == 1
    assert time.monotonic() - began < 1.4
    assert await first == 2
    assert tries == [1, 2]
    for each in (stopped, other):
        await each.close()


async def test_a_connection_that_breaks_before_the_commit_costs_a_second_try(store: PostgresStore) -> None:
    tries: list[int] = []

    def break_once(connection: Connection) -> str:
        threads.add(connection, PROJECT, thread(id="thread_broken"))
        tries.append(1)
        if len(tries) == 1:
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        return "made"

    assert await store.write(break_once) == "made"
    assert len(tries) == 2


async def test_a_connection_that_breaks_at_the_commit_leaves_a_doubt(store: PostgresStore, engine: Engine) -> None:
    def break_at_the_end(connection: Connection) -> None:
        threads.add(connection, PROJECT, thread(id="thread_doubt"))
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with engine.connect() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")

    with pytest.raises(InDoubt, match="the change may have been made"):
        await store.write(break_at_the_end)


class HeldUp:
    """A store in which one change begins late: after an outage it is made anew, or had no connection until then."""

    def __init__(self, store: PostgresStore, *, begun_before: bool) -> None:
        self._store = store
        self._tries = 0 if begun_before else 1
        self.waits, self.go_on = threading.Event(), threading.Event()

    async def write(self, change: Callable[[Connection], Any]) -> Any:
        def held_up(connection: Connection) -> Any:
            self._tries += 1
            if self._tries == 1:
                change(connection)
                raise TryAgain  # all of it is undone
            self.waits.set()
            assert self.go_on.wait(10)
            return change(connection)

        return await self._store.write(held_up)


@pytest.mark.parametrize("begun_before", [True, False])
@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize("under_way", [True, False])
@pytest.mark.parametrize("retry", [0, 1])
async def test_a_try_that_is_held_up_yields_to_its_retry(
    store: PostgresStore, begun_before: bool, is_heard: bool, under_way: bool, retry: int
) -> None:
    """Unless its client still listens: then the retry was that of another client's equal request."""
    clock, held_up, begun = FakeClock(), HeldUp(store, begun_before=begun_before), threading.Event()
    post = Post(PROJECT, "0123456789abcdef" * 4, retry, looks_back=retry > 0)
    again = replace(post, retry=retry + 1, looks_back=True)

    def change(_: Connection) -> Any:
        return thread()  # no row of a change's own is to keep the two apart

    def slowly(connection: Connection) -> Any:
        begun.set()
        time.sleep(0.2)
        return change(connection)

    first = asyncio.ensure_future(Once(clock, post, lambda: is_heard).write(cast("Store", held_up), change))
    assert await asyncio.to_thread(held_up.waits.wait, 10)
    clock.advance(0.5)
    second = asyncio.ensure_future(Once(clock, again).write(store, slowly if under_way else change))
    assert await asyncio.to_thread(begun.wait, 10) if under_way else await second
    held_up.go_on.set()
    made = (await second).id
    if is_heard:
        assert (await first).id != made
        return
    with pytest.raises(AnsweredBefore) as answered:
        await first
    assert answered.value.done.thread_id == made


async def test_a_try_that_is_held_up_does_not_yield_to_what_was_there_before_it(store: PostgresStore) -> None:
    clock, post = FakeClock(), Post(PROJECT, "fedcba9876543210" * 4)
    held_up = HeldUp(store, begun_before=True)
    held_up.go_on.set()
    conversations = Conversations(store, LocalBus(), clock)
    others = await conversations.create_thread(PROJECT, CreateThread(), Once(clock, replace(post, retry=1)))
    clock.advance(CLOCKS_AGREE_S + 1)
    conversations = Conversations(cast("Store", held_up), LocalBus(), clock)
    mine = await conversations.create_thread(PROJECT, CreateThread(), Once(clock, post))
    assert mine.id != others.id


async def test_a_server_that_is_not_there_is_told_without_its_address(
    store: PostgresStore, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PATIENCE_S", 0.3)
    postgres_server.stop()
    try:
        for ask in (store.read, store.write):
            with pytest.raises(StorageFault, match="PostgreSQL cannot be reached") as told:
                await ask(lambda connection: threads.get(connection, PROJECT, "thread_x"))
            assert str(postgres_server.folder) not in str(told.value)
        with pytest.raises(ConfigurationError, match="cannot start without its database"):
            await _opened(postgres_server.url())
    finally:
        postgres_server.start()
    assert (await stored_thread(store)).id


async def test_a_database_that_is_not_there_is_told(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "PATIENCE_S", 0.3)
    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        await _opened(postgres_server.url("nowhere"))
    with pytest.raises(ConfigurationError, match=r'could not be migrated: .*database "nowhere" does not exist'):
        postgres.migrate_database(postgres_server.url("nowhere"))


async def test_a_null_character_is_the_callers_mistake(store: PostgresStore) -> None:
    with pytest.raises(InvalidRequest, match="null character"):
        await store.read(lambda connection: threads.get(connection, PROJECT, "thread_\x00"))


def test_failures_are_known_by_their_state() -> None:
    class Failure(Exception):
        sqlstate = "53100"

    Failure.__module__ = "psycopg.errors"
    told = faults.told(DBAPIError("INSERT", {}, Failure("no space")))
    assert isinstance(told, StorageFault)
    assert "PostgreSQL's disk is full" in str(told)
    Failure.sqlstate = "22003"
    unknown = DBAPIError("INSERT", {}, Failure("out of range"))
    assert faults.told(unknown) is unknown
