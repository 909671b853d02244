"""Takes files of vector stores from the bus, holds them by a lease, and brings each to an end whatever happens.

A job names a file of a store, `vs_…/file-…`: it is taken in, or, if it is gone, what is left of it is removed. A job
that names only a store removes all that is left of that.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from sqlalchemy import Connection

from understudy.bus.base import Bus, Signal
from understudy.errors import LeaseLost, Unavailable, UnderstudyError
from understudy.ids import Clock
from understudy.protocol.vector_stores import FileError
from understudy.retrieval.documents import Unreadable
from understudy.storage import vector_store_files, vector_stores
from understudy.storage.base import Store
from understudy.storage.faults import StorageFault
from understudy.storage.vector_store_files import FileRecord
from understudy.workload import Held, Workload, claim_wholly

log = logging.getLogger(__name__)

MAX_TRIES = 3
UNKNOWN: FileError = {"code": "server_error", "message": "Sorry, something went wrong while the file was read."}
GIVEN_UP: FileError = {
    "code": "server_error",
    "message": f"The server stopped {MAX_TRIES} times while it read this file. Look at it before you add it again.",
}
TOO_LATE: FileError = {"code": "server_error", "message": "The vector store expired before the file was read."}


class Intake(Protocol):
    """What is done with a file, and undone."""

    async def take_in(self, held: FileRecord) -> int:
        """Make a file's passages searchable; return how many bytes they take. Cancelling it stops the work.

        Raises Unreadable; and LeaseLost if somebody else has the file now.
        """
        ...

    async def remove(self, store_id: str, file_id: str | None = None) -> None:
        """Remove the passages of a file, or of all files of a store. May be called again.

        Raises LeaseLost for a file that is to be kept after all.
        """
        ...


class FileWorker:
    """One of possibly many; `name` tells it from the others."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        intake: Intake,
        clock: Clock,
        *,
        name: str,
        lease_s: float,
        concurrency: int,
        listener: Callable[[str, float], None] | None = None,
    ) -> None:
        """`listener` hears how each file ended, and how many seconds it took."""
        self._listener = listener
        self._store = store
        self._bus = bus
        self._intake = intake
        self._clock = clock
        self._name = name
        self._lease_s = lease_s
        self._load = Workload(bus, "files", "a file", self._work, self._renew, lease_s=lease_s, concurrency=concurrency)

    async def serve(self) -> None:
        """Take jobs until the bus closes."""
        await self._load.serve()

    async def stop(self) -> None:
        """Hand back what is under way, at once."""
        await self._load.stop()

    async def _work(self, job: str) -> None:
        store_id, _, file_id = job.partition("/")
        if not file_id:
            await self._empty_store(store_id)
            await self._bus.taken(job, "files")
            return
        async with self._bus.signalled(job) as signal:  # first listen, then claim: no signal falls in between
            file = await claim_wholly(self._begin(job, store_id, file_id), self._hand_back)
            if file is not None:
                await self._attend(file, signal)
        await self._empty_file(store_id, file_id)
        await self._bus.signal(job)
        await self._bus.signal(store_id)

    async def _begin(self, job: str, store_id: str, file_id: str) -> FileRecord | None:
        """Claim a file and tell so; return it if it is to be taken in here."""
        file = await self._store.write(lambda connection: self._claim(connection, store_id, file_id))
        await self._bus.taken(job, "files")
        return file

    def _claim(self, connection: Connection, store_id: str, file_id: str) -> FileRecord | None:
        """Make a file this worker's own, unless it has no future."""
        now = self._clock.now()
        found = vector_stores.find(connection, store_id)
        if found is None or found[1]:
            return None
        file = vector_store_files.claim(connection, store_id, file_id, self._name, now, self._lease_s)
        if file is None:
            return None
        error = TOO_LATE if found[0].has_expired(now) else GIVEN_UP if file.tries > MAX_TRIES else None
        if error is None:
            return file
        vector_store_files.finish(connection, file, error=error)
        return None

    async def _attend(self, file: FileRecord, signal: Signal) -> None:
        """Take a file in, and let go of it the moment it is no longer ours."""
        working = asyncio.ensure_future(self._take_in(file))
        with self._load.hold(file) as held:
            try:
                await held.watch(working, self._taken_away(file, signal))
            finally:
                if not working.done():
                    working.cancel()
                    await asyncio.wait({working})
                    await self._hand_back(file)
        if not working.cancelled():
            working.result()

    async def _hand_back(self, file: FileRecord) -> None:
        with suppress(UnderstudyError):
            await self._store.write(lambda connection: vector_store_files.hand_back(connection, file))

    async def _taken_away(self, file: FileRecord, signal: Signal) -> None:
        """Return once a file is no longer this worker's. A signal only says that something was done to it.

        It may be the last word of whoever had the file before.
        """
        while True:
            await signal.wait()
            signal.clear()
            with suppress(StorageFault):  # then the lease tells
                if not await self._store.read(lambda connection: vector_store_files.is_held(connection, file)):
                    return

    async def _take_in(self, file: FileRecord) -> None:
        size, error, began = 0, None, time.perf_counter()
        try:
            size = await self._intake.take_in(file)
        except Unreadable as failure:
            error = FileError(code=failure.code, message=failure.message)
        except LeaseLost:
            log.info("file %s was taken away", file.job)
            return
        except Unavailable as fault:  # the database, the file store or an embedder is off: it may be on again soon
            if isinstance(fault, StorageFault) or file.tries < MAX_TRIES:
                raise
            error = FileError(code="server_error", message=str(fault))
        except UnderstudyError as failure:
            error = FileError(code="server_error", message=str(failure))
        except Exception:
            log.exception("file %s could not be read on a defect of this server", file.job)
            error = UNKNOWN
        await self._store.write(
            lambda connection: vector_store_files.finish(connection, file, usage_bytes=size, error=error)
        )
        if self._listener is not None:
            self._listener("failed" if error else "completed", time.perf_counter() - began)

    # --- removing ----------------------------------------------------------------------------------------------------

    async def _empty_file(self, store_id: str, file_id: str) -> None:
        """Remove what is left of a file that is gone, failed or cancelled."""
        left = await self._store.read(lambda connection: vector_store_files.is_left_over(connection, store_id, file_id))
        if left:
            with suppress(LeaseLost):  # it was added again meanwhile
                await self._intake.remove(store_id, file_id)
            await self._store.write(lambda connection: vector_store_files.note_emptied(connection, store_id, file_id))

    async def _empty_store(self, store_id: str) -> None:
        """Remove what is left of a store that is gone or has expired, once nobody adds to it any more."""
        now = self._clock.now()
        ended = await self._store.write(
            lambda connection: vector_stores.begin_emptying(connection, store_id, now, TOO_LATE)
        )
        if ended is None:
            return
        if ended:
            for told in (*ended, store_id):
                await self._bus.signal(told)
        await self._intake.remove(store_id)
        await self._store.write(lambda connection: vector_stores.note_emptied(connection, store_id))

    # --- leases ------------------------------------------------------------------------------------------------------

    async def _renew(self, held: Sequence[Held[FileRecord]]) -> list[Held[FileRecord]]:
        until = self._clock.now() + self._lease_s
        return await self._store.write(
            lambda connection: [one for one in held if not vector_store_files.renew(connection, one.record, until)]
        )
