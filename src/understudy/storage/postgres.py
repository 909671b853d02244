"""PostgreSQL: changes on snapshots, side by side; of two that touch the same row the later one is made again.

On REPEATABLE READ a change works on the state at its beginning, and PostgreSQL refuses it if a row that it writes was
changed since: it is then run anew, on a new snapshot. So no update is lost, whatever a change reads first, without a
lock being named for it. What remains to be locked is what reads one row and writes another (ADR 0011).

A change that fails before its commit is sent is made again, also when the server has gone away meanwhile; one whose
commit got no answer may have been kept, and its caller is told that.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError

from understudy.errors import ConfigurationError, Unavailable
from understudy.storage import faults, migrate
from understudy.storage.base import TryAgain

T = TypeVar("T")
log = logging.getLogger(__name__)

CONNECTIONS = 16
PATIENCE_S = 10.0
"""How long a change or a query is tried again: a restart of PostgreSQL, or many that want the same row."""
CONNECT_S = 5
IDLE_IN_TRANSACTION_MS = 5_000
"""A process that is stopped amid a change loses it, so that nobody waits for its locks longer than for a lease."""
LOCK_MS = 10_000
STATEMENT_MS = 60_000
_SESSION = (
    f"SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_MS}; SET lock_timeout = {LOCK_MS}; "
    f"SET statement_timeout = {STATEMENT_MS}; SET jit = off; SET client_encoding = 'UTF8'; "
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"
)
_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.25


class PostgresStore:
    """A database on a PostgreSQL server, used by any number of servers and workers."""

    def __init__(
        self, url: str, connections: int = CONNECTIONS, *, on_commit: Callable[[float], None] | None = None
    ) -> None:
        """`connections` bounds this process's; `on_commit` hears, in a thread, how many seconds a change took."""
        self._on_commit = on_commit
        writers = max(1, connections // 2)
        readers = max(1, connections - writers)
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="postgres-writer")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="postgres-reader")
        self._write_engine = engine_of(url, writers)
        self._read_engine = engine_of(url, readers).execution_options(postgresql_readonly=True)
        self._closed = False

    async def open(self) -> None:
        """Look whether the schema is this version's. Raises ConfigurationError."""
        try:
            await asyncio.to_thread(self._patiently, lambda: migrate.refuse_other(self._write_engine))
        except faults.StorageFault as fault:
            raise ConfigurationError(f"the server cannot start without its database. {fault}") from None

    async def read(self, query: Callable[[Connection], T]) -> T:
        self._refuse_if_closed()
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, query)

    async def write(self, change: Callable[[Connection], T]) -> T:
        self._refuse_if_closed()
        return await asyncio.get_running_loop().run_in_executor(self._writers, self._write, change)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for threads in (self._writers, self._readers):
            await asyncio.to_thread(threads.shutdown)
        self._write_engine.dispose()
        self._read_engine.dispose()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise Unavailable("the database is closed: the server is stopping")

    # --- in a thread -------------------------------------------------------------------------------------------------

    def _read(self, query: Callable[[Connection], T]) -> T:
        def ask() -> T:
            with self._read_engine.connect() as connection:
                return query(connection)

        return self._patiently(ask)

    def _write(self, change: Callable[[Connection], T]) -> T:
        began = time.perf_counter()
        made = self._patiently(lambda: _committed(self._write_engine, change))
        if self._on_commit is not None:
            self._on_commit(time.perf_counter() - began)
        return made

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Try until it is done, until it fails for a reason that lasts, or until the patience is at its end."""
        until, tries, repeated = time.monotonic() + PATIENCE_S, 0, False
        while True:
            try:
                return attempt()
            except faults.InDoubt:
                raise
            except TryAgain as request:
                if time.monotonic() >= until:
                    raise Unavailable("this request is still being worked on; try again in a moment") from request
            except DBAPIError as problem:
                may_pass, repeated = _may_pass(problem, repeated=repeated)
                if not may_pass or time.monotonic() >= until:
                    raise faults.told(problem) from None
                if tries == 0 and faults.is_gone(problem):
                    log.warning("the database server is not there; trying on for %d s: %s", PATIENCE_S, problem.orig)
            tries += 1
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**tries)))  # noqa: S311 - no secret


def migrate_database(url: str) -> tuple[str | None, str]:
    """Upgrade a database's schema; return its revisions before and after. Raises ConfigurationError."""
    engine = engine_of(url, 2)
    try:
        return migrate.upgrade_postgres(engine)
    except DBAPIError as problem:
        raise ConfigurationError(f"the database could not be migrated: {problem.orig}") from None
    finally:
        engine.dispose()


def engine_of(url: str, connections: int) -> Engine:
    """Return a pool of connections that work on snapshots. Nothing is connected yet."""
    engine = create_engine(
        _with_driver(url),
        isolation_level="REPEATABLE READ",
        hide_parameters=True,  # a statement that fails must not carry people's messages into the log
        pool_size=connections,
        max_overflow=0,
        connect_args={"connect_timeout": CONNECT_S, "application_name": "understudy", "keepalives_idle": 5}
        | {"keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.execute(_SESSION)
        connection.commit()

    return engine


def _with_driver(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


def _committed(engine: Engine, change: Callable[[Connection], T]) -> T:
    """Make a change in a transaction of its own. Raises InDoubt if the commit got no answer."""
    with engine.connect() as connection:
        made = change(connection)
        try:
            connection.commit()
        except DBAPIError as problem:
            if faults.is_gone(problem) and not faults.was_cut_off(problem):
                raise faults.InDoubt from problem
            raise
        return made


def _may_pass(problem: DBAPIError, *, repeated: bool) -> tuple[bool, bool]:
    """Tell whether a failure may pass when tried again. A key that is taken may be one that the snapshot did not show:

    it is looked at once more, and taken still it is an answer.
    """
    if faults.is_gone(problem) or faults.is_conflict(problem):
        return True, repeated
    return faults.is_taken(problem) and not repeated, True
