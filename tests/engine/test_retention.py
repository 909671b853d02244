"""Retention by the engine's own clock: what is unused, and how much of it goes at once."""

from functools import partial

import pytest
from sqlalchemy import Connection
from tests.engine.house import House
from tests.storage.builders import NOW, PROJECT, message, thread

from understudy.engine import retention
from understudy.engine.retention import BATCH, DAY_S, Retention
from understudy.storage import messages, threads


async def stored(house: House, count: int, *, texts: int = 1, created_at: int = NOW) -> list[str]:
    made = [thread(created_at=created_at) for _ in range(count)]

    def write(connection: Connection) -> None:
        for one in made:
            threads.add(connection, PROJECT, one)
            said = [message(one.id, created_at=created_at) for _ in range(texts)]
            messages.add(connection, PROJECT, one.id, said)

    await house.store.write(write)
    return [one.id for one in made]


async def count(house: House, table: str) -> int:
    query = f"SELECT count(*) FROM {table}" + (" WHERE NOT deleted" if table == "threads" else "")
    return int(await house.store.read(lambda connection: connection.exec_driver_sql(query).scalar_one()))


@pytest.fixture(autouse=True)
def _no_breath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BREATH_S", 0.0)


async def test_more_than_a_batch_goes_in_one_round(house: House) -> None:
    now = int(house.clock.now())
    await stored(house, 2 * BATCH + 3, created_at=now - 11 * DAY_S)
    await stored(house, BATCH, created_at=now - 9 * DAY_S)
    swept = await Retention(house.store, house.clock, days=10).sweep()
    assert (swept.deleted, swept.rows) == (2 * BATCH + 3, 2 * BATCH + 3)
    assert (await count(house, "threads"), await count(house, "messages")) == (BATCH, BATCH)


async def test_a_long_thread_is_emptied_piece_by_piece(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS", 7)
    await stored(house, 1, texts=20, created_at=1)
    assert (await Retention(house.store, house.clock, days=1).sweep()).rows == 20
    assert await count(house, "messages") == 0


async def test_what_an_ended_round_left_is_emptied_by_the_next(house: House) -> None:
    (old,) = await stored(house, 1, texts=5, created_at=1)
    await house.store.write(partial(threads.bury_unused, thread_ids=[old], limit=NOW))
    assert await count(house, "messages") == 5
    await Retention(house.store, house.clock, days=1).sweep()
    assert await count(house, "messages") == 0
