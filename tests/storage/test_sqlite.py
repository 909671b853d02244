"""SQLite: the contracts of a Store, and what is this adapter's own."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from tests.contracts import contract
from tests.storage import store_contract
from tests.storage.builders import PROJECT, migrated, stored_thread, thread
from tests.storage.contracts import STORE_CONTRACTS

from understudy.errors import NotFound, Unavailable
from understudy.storage import threads
from understudy.storage.faults import StorageFault
from understudy.storage.sqlite import MAX_GROUP, SqliteStore, sqlite_path

counter = store_contract.counter


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    path = tmp_path / "store.db"
    path.write_bytes(migrated())
    store = SqliteStore(path)
    await store.open()
    yield store
    await store.close()


globals().update(contract(*STORE_CONTRACTS))


# --- SQLite's own ------------------------------------------------------------------------------------------------


def _pragma(connection: Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


@pytest.mark.parametrize(("synchronous", "level"), [("NORMAL", 1), ("FULL", 2)])
async def test_a_killed_server_loses_nothing_that_it_confirmed(tmp_path: Path, synchronous: str, level: int) -> None:
    store = SqliteStore(tmp_path / "s.db", synchronous)  # type: ignore[arg-type]
    await store.open()
    for ask in (store.read, store.write):
        assert await ask(lambda connection: _pragma(connection, "journal_mode")) == "wal"
        assert await ask(lambda connection: _pragma(connection, "synchronous")) == level
        assert await ask(lambda connection: _pragma(connection, "foreign_keys")) == 1
    await store.close()


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "folder" / "s.db")
    await first.open()
    made = await stored_thread(first)
    await first.close()
    second = SqliteStore(tmp_path / "folder" / "s.db")
    await second.open()
    assert (await second.read(lambda connection: threads.get(connection, PROJECT, made.id))).id == made.id
    await second.close()


async def test_readers_do_not_wait_for_the_writer(store: SqliteStore) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        threads.add(connection, PROJECT, thread(id="thread_slow"))
        inside.set()
        leave.wait(10)

    writing = asyncio.ensure_future(store.write(slow))
    assert await asyncio.to_thread(inside.wait, 10)
    count = await store.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM threads").scalar())
    assert count == 0
    leave.set()
    await writing


async def test_changes_that_wait_are_committed_together(store: SqliteStore) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        inside.set()
        leave.wait(10)

    holding = asyncio.ensure_future(store.write(hold))
    assert await asyncio.to_thread(inside.wait, 10)
    transactions: set[int] = set()

    def note(connection: Connection) -> None:
        transactions.add(id(connection.get_transaction()))
        kept.append(connection.get_transaction())

    kept: list[object] = []  # keeps transactions alive, so that no two have one id
    writes = [asyncio.ensure_future(store.write(note)) for _ in range(MAX_GROUP)]
    await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(holding, *writes)
    assert len(transactions) == 1


async def test_a_full_disk_is_told_to_all_whose_changes_are_lost(store: SqliteStore) -> None:
    pages = await store.write(lambda connection: _pragma(connection, "page_count"))
    await store.write(lambda connection: _pragma(connection, f"max_page_count={pages}"))
    made = [thread(metadata={"text": "x" * 3000}) for _ in range(40)]
    adds = [store.write(lambda connection, new=new: threads.add(connection, PROJECT, new)) for new in made]
    outcomes = await asyncio.gather(*adds, return_exceptions=True)
    rows = await store.read(lambda connection: connection.exec_driver_sql("SELECT id FROM threads").scalars().all())
    confirmed = [new.id for new, outcome in zip(made, outcomes, strict=True) if outcome is None]
    assert any(isinstance(outcome, StorageFault) for outcome in outcomes)
    assert set(confirmed) <= set(rows)
    await store.write(lambda connection: _pragma(connection, "max_page_count=1000000"))
    await stored_thread(store)


async def test_a_query_that_fails_leaves_nothing_behind_for_the_next_one(store: SqliteStore) -> None:
    """Threads keep their connections: what went wrong on one must not be felt later."""

    def broken(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT * FROM nowhere")

    def left(connection: Connection) -> None:
        threads.add(connection, PROJECT, thread(id="thread_gone"))
        raise ValueError("no")

    for _ in range(8):  # more than there are readers
        with pytest.raises(OperationalError, match="nowhere"):
            await store.read(broken)
        with pytest.raises(ValueError, match="no"):
            await store.write(left)
        await store.write(lambda connection: connection.exec_driver_sql("UPDATE projects SET last_seq = 7"))
        with pytest.raises(NotFound):
            await store.read(lambda connection: threads.get(connection, PROJECT, "thread_gone"))


async def test_a_locked_database_is_told_and_a_free_one_is_used_again(store: SqliteStore) -> None:
    async def write() -> None:
        await store.write(lambda connection: connection.exec_driver_sql("UPDATE projects SET last_seq = 7"))

    await store.write(lambda connection: connection.connection.driver_connection.execute("PRAGMA busy_timeout=50"))  # type: ignore[union-attr]
    with sqlite3.connect(store._path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFault, match="another program keeps the database locked"):
            await write()
        other.execute("ROLLBACK")
    other.close()
    await write()


async def test_a_store_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.close()
    with pytest.raises(Unavailable):
        await store.read(lambda _: None)


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database at all, but long enough to be mistaken for the header of one" * 40)
    store = SqliteStore(path)
    with pytest.raises(StorageFault, match=r"is damaged: .* SQLite says: file is not a database\."):
        await store.open()
    await store.close()


def test_the_path_of_a_url() -> None:
    assert sqlite_path("sqlite:////var/lib/understudy/u.db") == Path("/var/lib/understudy/u.db")
    assert sqlite_path("sqlite:///u.db") == Path("u.db")


def test_the_library_is_new_enough() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35), "RETURNING came with 3.35"
