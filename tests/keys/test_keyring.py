"""The keys as the server holds them: read now and then, and kept where the database fails."""

import asyncio
from pathlib import Path

import pytest

from understudy.api.keyring import FRESH_S, TOUCH_EVERY_S, Caller, Keyring
from understudy.errors import Unavailable
from understudy.storage import api_keys
from understudy.storage.api_keys import ApiKey
from understudy.storage.sqlite import SqliteStore
from understudy.testing import FakeClock

KEY = ApiKey("key_1", "acme", None, api_keys.hash_of(b"sk-1"), 0)


async def opened(folder: Path) -> SqliteStore:
    store = SqliteStore(folder / "store.db")
    await store.open()
    await store.write(lambda connection: api_keys.add(connection, KEY))
    return store


async def test_a_known_key_stays_known_while_the_database_fails(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    ring = Keyring(store, FakeClock())
    assert await ring.find(b"sk-1") == Caller("acme", "key_1")
    await store.close()
    await asyncio.sleep(FRESH_S * 1.1)
    assert await ring.are_on()
    assert await ring.find(b"sk-1") == Caller("acme", "key_1")
    assert await ring.find(b"sk-2") is None


async def test_a_ring_that_was_never_read_lets_nobody_in(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.close()
    with pytest.raises(Unavailable):
        await Keyring(store, FakeClock()).are_on()


async def test_the_last_use_is_kept_once_a_minute(tmp_path: Path) -> None:
    store, clock = await opened(tmp_path), FakeClock(1_800_000_000.0)
    ring = Keyring(store, clock)
    for passed, kept in ((0, 0), (TOUCH_EVERY_S - 1, 0), (1, TOUCH_EVERY_S)):
        clock.advance(passed)
        await ring.find(b"sk-1")
        assert [key.last_used_at for key in await store.read(api_keys.all_of)] == [1_800_000_000 + kept]
    await store.close()
