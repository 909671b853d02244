"""What servers and engines stand on: SQLite and a bus of their own, or (`--setup=scaled`) PostgreSQL and NATS.

The engines behind are started once in a session, when somebody needs them first.
"""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.storage.builders import migrated

from understudy.bus.base import Bus
from understudy.bus.local import LocalBus
from understudy.ids import Clock
from understudy.storage.base import Store
from understudy.storage.schema import metadata
from understudy.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from tests.harness.nats import Nats
    from tests.harness.postgres import Postgres

NAMES = ("one", "scaled")
_chosen = NAMES[0]
_to_close: list[Callable[[], None]] = []


def choose(name: str) -> None:
    """Choose for the whole session."""
    global _chosen
    _chosen = name


def close() -> None:
    while _to_close:
        _to_close.pop()()


@cache
def postgres() -> "Postgres":
    """Return the session's PostgreSQL."""
    from tests.harness.postgres import Postgres

    server = Postgres()
    _to_close.append(server.close)
    return server.start()


@cache
def nats() -> "Nats":
    """Return the session's NATS; whoever uses it takes a prefix of its own."""
    from tests.harness.nats import Nats

    server = Nats()
    _to_close.append(server.close)
    return server.start()


def settings_of_a_server() -> dict[str, str]:
    """Return the variables of a server that shares nothing with others."""
    if _chosen == "one":
        return {}
    from tests.harness.scaled import scaled_settings

    return scaled_settings(postgres().database(), nats())


@asynccontextmanager
async def store_and_bus(folder: Path, clock: Clock) -> AsyncIterator[tuple[Store, Bus]]:
    """Open a store and a bus for an engine within the test; the bus is closed by who uses it."""
    if _chosen == "scaled":
        async with _shared() as pair:
            yield pair
        return
    (folder / "house.db").write_bytes(migrated())
    store = SqliteStore(folder / "house.db")
    await store.open()
    try:
        yield store, LocalBus(clock)
    finally:
        await store.close()


_houses: list[str] = []  # databases that nobody lives in


@asynccontextmanager
async def _shared() -> AsyncIterator[tuple[Store, Bus]]:
    from nats.aio.client import Client

    from understudy.bus.nats import NatsBus
    from understudy.bus.nats_streams import names
    from understudy.storage.postgres import PostgresStore

    url = _houses.pop() if _houses else postgres().database()
    store, bus = PostgresStore(url, 8), NatsBus(nats().url, name := f"h{secrets.token_hex(4)}")
    await store.open()
    await store.write(lambda connection: connection.exec_driver_sql(_EMPTY))
    await bus.open()
    try:
        yield store, bus
    finally:
        await store.close()
        _houses.append(url)
        cleaner = Client()
        await cleaner.connect(nats().url)
        for stream in names(name):
            with suppress(Exception):
                await cleaner.jetstream().delete_stream(stream)
        await cleaner.close()


_EMPTY = "; ".join(f"DELETE FROM {table}" for table in metadata.tables)
