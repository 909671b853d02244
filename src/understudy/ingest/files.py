"""Files: bytes in the file store, and rows that say whose they are.

Bytes come first: they are noted as loose before the first one is stored, and a file's row is made when all are there,
in the transaction that takes them. What a crash leaves behind is loose, and the upkeep removes it.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from understudy.errors import TooLarge, Unavailable
from understudy.files.base import FileStore
from understudy.ids import Clock, new_id
from understudy.protocol.files import MAX_FILE_BYTES, ExpiresAfter, FileObject, Purpose
from understudy.storage import files, loose_bytes
from understudy.storage.base import Store
from understudy.storage.faults import InDoubt

log = logging.getLogger(__name__)

SENDING_S = 24 * 3600.0
"""How long bytes may be on their way; a file of 512 MB at the slowest rate allowed takes nine hours."""

Forget = Callable[[Connection, str, str], None]
"""Removes a file, given as project and id, from wherever else it is; in the transaction that deletes it."""


class Write(Protocol):
    """How a file's row is written: a request's permission to change something once fits in here."""

    def __call__(self, change: Callable[[Connection], FileObject]) -> Awaitable[FileObject]:
        """Run the change in a transaction."""
        ...


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes in the file store that nobody owns yet."""

    key: str
    bytes: int


class Files:
    """Creates, finds, reads and deletes files."""

    def __init__(self, store: Store, file_store: FileStore, clock: Clock, forget: Sequence[Forget] = ()) -> None:
        """`forget`: what else has to happen when a file is deleted."""
        self._store = store
        self._file_store = file_store
        self._clock = clock
        self._forget = tuple(forget)

    async def create(
        self,
        project: str,
        filename: str,
        purpose: Purpose,
        chunks: AsyncIterator[bytes],
        expires_after: ExpiresAfter | None = None,
    ) -> FileObject:
        """Keep bytes as they come, and make a file of them. Raises TooLarge, FileFault; then nothing is kept."""
        received = await self.receive("file", limited(chunks, MAX_FILE_BYTES))
        return await self.keep(project, received, filename, purpose, expires_after)

    async def find(self, project: str, file_id: str) -> FileObject:
        """Raises NoSuchFile."""
        return await self._store.read(lambda connection: files.get(connection, project, file_id, self._clock.now()))

    async def content(self, project: str, file_id: str) -> AsyncIterator[bytes]:
        """Open a file; its bytes come in pieces. Raises NoSuchFile, FileFault."""
        await self.find(project, file_id)
        return await self._file_store.get(file_id)

    async def delete(self, project: str, file_id: str) -> None:
        """Remove a file from everywhere. Raises NoSuchFile."""

        def write(connection: Connection) -> None:
            files.delete(connection, project, file_id, self._clock.now())
            for forget in self._forget:
                forget(connection, project, file_id)

        await self._store.write(write)
        await self.discard(file_id)

    # --- in two steps: for those who learn only from the last bytes what the file is to be ----------------------------

    async def receive(self, kind: str, chunks: AsyncIterator[bytes]) -> Received:
        """Store bytes under a new id of a kind. Raises FileFault, and what `chunks` raises; then nothing is kept."""
        key = new_id(kind)
        until = self._clock.now() + SENDING_S
        await self._store.write(lambda connection: loose_bytes.add(connection, [key], until))
        try:
            return Received(key, await self._file_store.put(key, chunks))
        except Exception:
            await self.discard(key)
            raise

    async def keep(
        self,
        project: str,
        received: Received,
        filename: str,
        purpose: Purpose,
        expires_after: ExpiresAfter | None = None,
        write: Write | None = None,
    ) -> FileObject:
        """Make a file of received bytes. If that fails they are removed, and the failure is raised."""
        file = self.made(received, filename, purpose, expires_after)

        def change(connection: Connection) -> FileObject:
            if not files.add(connection, project, file):
                raise Unavailable("The file was on its way for too long; send it again.")
            return file

        async with self.held(received.key):
            return await (write or self._store.write)(change)

    def made(
        self, received: Received, filename: str, purpose: Purpose, expires_after: ExpiresAfter | None
    ) -> FileObject:
        """Return the file that received bytes are to be."""
        now = int(self._clock.now())
        return FileObject(
            id=received.key,
            purpose=purpose,
            filename=filename,
            bytes=received.bytes,
            created_at=now,
            expires_at=None if expires_after is None else now + expires_after.seconds,
        )

    @asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[None]:
        """Remove received bytes if what is to own them cannot be made.

        Where it may have been made they stay: if it was not, the upkeep finds them.
        """
        try:
            yield
        except InDoubt:
            raise
        except Exception:
            await self.discard(key)
            raise

    async def discard(self, *keys: str) -> None:
        """Remove bytes that no row owns. What the file store cannot remove now, the upkeep tries again."""
        try:
            for key in keys:
                await self._file_store.delete(key)
            await self._store.write(lambda connection: loose_bytes.forget(connection, keys))
        except Unavailable as fault:
            log.warning("bytes that are not needed any more could not be removed yet. %s", fault)

    async def bury_expired(self, count: int) -> int:
        """Delete files that are past their hour; return how many. Their bytes are left to the upkeep."""

        def write(connection: Connection) -> int:
            buried = files.bury_expired(connection, self._clock.now(), count)
            for project, file_id in buried:
                for forget in self._forget:
                    forget(connection, project, file_id)
            return len(buried)

        return await self._store.write(write)


async def limited(chunks: AsyncIterator[bytes], max_bytes: int, what: str = "File") -> AsyncIterator[bytes]:
    """Pass bytes on up to a limit. Raises TooLarge."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"{what} is too large. It may have {max_bytes} bytes ({max_bytes // 2**20} MB) at most.")
        yield chunk
