"""SQLite: one writer thread that groups commits, readers beside it.

A plain BEGIN loses writes under concurrency ("database is locked" when a reader turns writer); BEGIN IMMEDIATE on a
single writer never does. WAL lets the readers go on meanwhile. `synchronous=NORMAL` survives kill -9; a power cut may
cost the last moment, which FULL (a setting) prevents.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from understudy.errors import Unavailable
from understudy.storage import faults, migrate

T = TypeVar("T")
log = logging.getLogger(__name__)

READERS = 4
MAX_GROUP = 64
BUSY_TIMEOUT_MS = 5_000


@dataclass(slots=True, eq=False)
class _Job:
    """Work on a connection, done in a thread, and the future of whoever waits for it in an event loop.

    An executor's futures, with a lock each and a copy of the outcome, would cost more than many a query.
    """

    work: Callable[[Connection], Any]
    done: asyncio.Future[Any]

    def finish(self, value: Any, failure: BaseException | None = None) -> None:
        """Hand the outcome over, from any thread."""
        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            self.done.get_loop().call_soon_threadsafe(_settle, self.done, value, failure)


def _settle(done: asyncio.Future[Any], value: Any, failure: BaseException | None) -> None:
    if done.done():  # whoever waited has gone
        return
    if failure is None:
        done.set_result(value)
    else:
        done.set_exception(failure)


def _job(queue_: "queue.SimpleQueue[_Job | None]", work: Callable[[Connection], T]) -> asyncio.Future[T]:
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    queue_.put(_Job(work, done))
    return done


class _Kept:
    """A connection that its thread keeps until something goes wrong on it.

    To take one out of the pool for each transaction, and to put it back, costs as much as a query or two.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            with self._connection.begin():
                yield self._connection
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Put the connection back into the pool, which sees to its state."""
        kept, self._connection = self._connection, None
        if kept is not None:
            kept.close()


class SqliteStore:
    """A database in one file, used by one server."""

    def __init__(
        self,
        path: Path,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        *,
        on_commit: Callable[[float], None] | None = None,
    ) -> None:
        """`on_commit` hears, in the writer's thread, how many seconds each group of changes took."""
        self._on_commit = on_commit
        self._path = path
        self._synchronous = synchronous
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer_thread = threading.Thread(target=self._write_groups, name="sqlite-writer", daemon=True)
        self._queries: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._reader_threads = [
            threading.Thread(target=self._answer_queries, name=f"sqlite-reader-{number}", daemon=True)
            for number in range(READERS)
        ]
        self._write_engine = self._engine("BEGIN IMMEDIATE", pool_size=1)
        self._read_engine = self._engine("BEGIN", pool_size=READERS)
        self._closed = False

    async def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            await asyncio.to_thread(migrate.upgrade_sqlite, self._write_engine, self._path)
        except DBAPIError as problem:
            raise faults.told(problem) from None
        for thread in (self._writer_thread, *self._reader_threads):
            thread.start()

    async def read(self, query: Callable[[Connection], T]) -> T:
        self._refuse_if_closed()
        return await _job(self._queries, query)

    async def write(self, change: Callable[[Connection], T]) -> T:
        self._refuse_if_closed()
        return await _job(self._jobs, change)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        for _ in self._reader_threads:
            self._queries.put(None)
        for thread in (self._writer_thread, *self._reader_threads):
            if thread.is_alive():
                await asyncio.to_thread(thread.join)
        self._write_engine.dispose()
        self._read_engine.dispose()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise Unavailable("the database is closed: the server is stopping")

    def _engine(self, begin: str, pool_size: int) -> Engine:
        engine = create_engine(
            f"sqlite:///{self._path}",
            poolclass=QueuePool,
            hide_parameters=True,  # a statement that fails must not carry people's messages into the log
            pool_size=pool_size,
            connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: object) -> None:
            connection.isolation_level = None  # else the driver opens transactions of its own, always deferred
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute("PRAGMA foreign_keys=ON")

        @event.listens_for(engine, "begin")
        def start(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

    # --- the readers' threads ---------------------------------------------------------------------------------------

    def _answer_queries(self) -> None:
        kept = _Kept(self._read_engine)
        while self._answer_next(kept):  # in a frame of its own: what was read must not be held until something else is
            pass
        kept.give_back()

    def _answer_next(self, kept: _Kept) -> bool:
        job = self._queries.get()
        if job is not None and not job.done.cancelled():
            try:
                with kept.begin() as connection:
                    value = job.work(connection)
            except BaseException as problem:
                job.finish(None, faults.told(problem))
            else:
                job.finish(value)
        return job is not None

    # --- the writer thread ---------------------------------------------------------------------------------------

    def _write_groups(self) -> None:
        kept, stop = _Kept(self._write_engine), False
        while not stop:
            group, stop = self._next_group()
            if group:
                began = time.perf_counter()
                self._commit(group, kept)
                if self._on_commit is not None:
                    self._on_commit(time.perf_counter() - began)
        kept.give_back()

    def _next_group(self) -> tuple[list[_Job], bool]:
        """Wait for one change, then take all that wait behind it."""
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            if not job.done.cancelled():
                group.append(job)
            if self._jobs.empty() or len(group) >= MAX_GROUP:
                return group, False
            job = self._jobs.get()
        return group, True

    def _commit(self, group: list[_Job], kept: _Kept) -> None:
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            with kept.begin() as connection:
                outcomes = [self._apply(connection, job, alone=len(group) == 1) for job in group]
        except BaseException as trouble:  # the transaction as a whole failed: nobody's change was kept
            failure = faults.told(trouble)
            foreseen = isinstance(failure, faults.StorageFault) or (len(group) == 1 and isinstance(trouble, Exception))
            if not foreseen:
                log.exception("a group of %d changes could not be committed", len(group))
            outcomes = [(None, failure)] * len(group)
        for job, (value, problem) in zip(group, outcomes, strict=True):
            job.finish(value, problem and faults.told(problem))

    def _apply(self, connection: Connection, job: _Job, *, alone: bool) -> tuple[Any, BaseException | None]:
        """Make one change. In a group, a savepoint lets it fail without its neighbours."""
        if alone:
            return job.work(connection), None
        driver = cast("Any", connection.connection.driver_connection)
        driver.execute("SAVEPOINT change")  # not SQLAlchemy's, which cost as much as the change itself
        try:
            value, failure = job.work(connection), None
        except Exception as problem:
            if not driver.in_transaction:  # the database undid all of it (a full disk): nobody's change is kept
                raise
            driver.execute("ROLLBACK TO change")
            value, failure = None, problem
        driver.execute("RELEASE change")
        return value, failure


def sqlite_path(url: str) -> Path:
    """Return the file of a `sqlite:///…` URL."""
    from sqlalchemy import make_url

    return Path(cast("str", make_url(url).database))
