"""What every Store must do. Each adapter's tests collect these classes with a `store` fixture of their own.

`store` is open and empty; the fixture closes it.
"""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, select, update
from tests.storage.builders import PROJECT, stored_thread, thread

from understudy.errors import NotFound, Unavailable
from understudy.storage import threads
from understudy.storage.base import Store
from understudy.storage.rows import allot_in_project
from understudy.storage.schema import projects
from understudy.storage.schema import threads as table

MANY = 400


class Refused(Exception):
    pass


def _add_one(connection: Connection, counter: str) -> int:
    """A read, then a write of what was read: loses updates wherever two of them overlap."""
    mine = table.c.id == counter
    found = connection.execute(select(table.c.created_at).where(mine)).scalar_one()
    connection.execute(update(table).where(mine).values(created_at=found + 1))
    return int(found) + 1


def _fail(connection: Connection, counter: str) -> None:
    _add_one(connection, counter)
    raise Refused


async def _value(store: Store, counter: str) -> int:
    query = select(table.c.created_at).where(table.c.id == counter)
    return int(await store.read(lambda connection: connection.execute(query).scalar_one()))


@pytest.fixture
async def counter(store: Store) -> str:
    return (await stored_thread(store, created_at=0)).id


class WritesAreAtomicAndIsolated:
    async def test_concurrent_writers_lose_nothing(self, store: Store, counter: str) -> None:
        writes = [store.write(lambda connection: _add_one(connection, counter)) for _ in range(MANY)]
        assert sorted(await asyncio.gather(*writes)) == list(range(1, MANY + 1))
        assert await _value(store, counter) == MANY

    async def test_a_failing_write_changes_nothing(self, store: Store, counter: str) -> None:
        with pytest.raises(Refused):
            await store.write(lambda connection: _fail(connection, counter))
        assert await _value(store, counter) == 0

    async def test_a_failing_write_does_not_undo_its_neighbours(self, store: Store, counter: str) -> None:
        changes = [_fail if number % 4 == 1 else _add_one for number in range(MANY)]
        writes = [store.write(lambda connection, change=change: change(connection, counter)) for change in changes]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [isinstance(outcome, Refused) for outcome in outcomes] == [change is _fail for change in changes]
        assert await _value(store, counter) == changes.count(_add_one)

    async def test_a_failing_statement_does_not_undo_its_neighbours(self, store: Store, counter: str) -> None:
        def broken(connection: Connection) -> None:
            connection.execute(update(table).where(table.c.id == counter).values(created_at=None))

        writes: list[Any] = [store.write(lambda connection: _add_one(connection, counter)) for _ in range(10)]
        writes.insert(5, store.write(broken))
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [isinstance(outcome, Exception) for outcome in outcomes].index(True) == 5
        assert await _value(store, counter) == 10

    async def test_a_write_is_seen_by_every_later_read(self, store: Store, counter: str) -> None:
        for expected in range(1, 20):
            await store.write(lambda connection: _add_one(connection, counter))
            reads = await asyncio.gather(*[_value(store, counter) for _ in range(5)])
            assert set(reads) == {expected}

    async def test_a_cancelled_writer_harms_nobody(self, store: Store, counter: str) -> None:
        tasks = [
            asyncio.ensure_future(store.write(lambda connection: _add_one(connection, counter))) for _ in range(100)
        ]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert len(kept) >= 50
        assert len(set(kept)) == len(kept)
        assert await _value(store, counter) >= len(kept)

    async def test_what_a_write_returns_and_raises_comes_back(self, store: Store) -> None:
        assert await store.write(lambda _: "value") == "value"
        with pytest.raises(NotFound, match="No thread found with id 'thread_none'"):
            await store.write(lambda connection: threads.get(connection, PROJECT, "thread_none"))


class ReadsAreSnapshots:
    async def test_a_read_does_not_see_half_a_write(self, store: Store) -> None:
        first, second = await stored_thread(store, created_at=0), await stored_thread(store, created_at=0)

        def both(connection: Connection) -> None:
            _add_one(connection, first.id)
            _add_one(connection, second.id)

        def look(connection: Connection) -> tuple[int, int]:
            one = connection.execute(select(table.c.created_at).where(table.c.id == first.id)).scalar_one()
            two = connection.execute(select(table.c.created_at).where(table.c.id == second.id)).scalar_one()
            return one, two

        async def write() -> None:
            for _ in range(50):
                await store.write(both)

        writing = asyncio.ensure_future(write())
        seen = [await store.read(look) for _ in range(50)]
        await writing
        assert all(one == two for one, two in seen)
        assert await store.read(look) == (50, 50)


class PlacesAreGivenUnderALock:
    async def test_concurrent_children_get_places_without_gaps(self, store: Store) -> None:
        made = [thread() for _ in range(60)]
        adds = [store.write(lambda connection, new=new: threads.add(connection, PROJECT, new)) for new in made]
        await asyncio.gather(*adds)
        places = select(table.c.seq).where(table.c.project == PROJECT).order_by(table.c.seq)
        assert await store.read(lambda connection: list(connection.execute(places).scalars())) == list(range(1, 61))

    async def test_a_place_is_not_used_twice_after_a_failure(self, store: Store) -> None:
        def allot_and_fail(connection: Connection) -> None:
            allot_in_project(connection, PROJECT)
            raise Refused

        await stored_thread(store)
        with pytest.raises(Refused):
            await store.write(allot_and_fail)
        await stored_thread(store)
        last = select(projects.c.last_seq).where(projects.c.id == PROJECT)
        assert await store.read(lambda connection: connection.execute(last).scalar_one()) == 2


class ClosingIsOrderly:
    async def test_what_was_under_way_is_finished(self, store: Store, counter: str) -> None:
        writes = [
            asyncio.ensure_future(store.write(lambda connection: _add_one(connection, counter))) for _ in range(50)
        ]
        await asyncio.sleep(0)
        await store.close()
        assert sorted(await asyncio.gather(*writes)) == list(range(1, 51))

    async def test_it_may_be_closed_twice(self, store: Store) -> None:
        await store.close()
        await store.close()

    async def test_a_closed_store_says_so(self, store: Store) -> None:
        await store.close()
        with pytest.raises(Unavailable, match="closed"):
            await store.write(lambda _: None)
        with pytest.raises(Unavailable, match="closed"):
            await store.read(lambda _: None)
