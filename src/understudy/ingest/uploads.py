"""Uploads: a large file that comes in parts, in any order, and is put together at the end.

Each part's bytes lie in the file store under the part's id. An upload lives for an hour, then its parts are given up.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from understudy.errors import InvalidRequest, NotFound
from understudy.files.base import FileStore, chained
from understudy.ids import Clock, new_id
from understudy.ingest.files import Files, Received
from understudy.protocol.files import ExpiresAfter
from understudy.protocol.uploads import (
    UPLOAD_LIFE_S,
    CompleteUpload,
    CreateUpload,
    Upload,
    UploadPart,
)
from understudy.storage import files, uploads
from understudy.storage.base import Store
from understudy.storage.uploads import UploadRecord

T = TypeVar("T", Upload, UploadPart)


class Write(Protocol):
    """How a change is written: a request's permission to change something once fits in here."""

    async def __call__(self, change: Callable[[Connection], T]) -> T:
        """Run the change in a transaction."""
        ...


class Uploads:
    """Creates uploads, takes their parts, and ends them."""

    def __init__(self, store: Store, file_store: FileStore, files: Files, clock: Clock) -> None:
        self._store = store
        self._file_store = file_store
        self._files = files
        self._clock = clock

    async def create(self, project: str, given: CreateUpload, write: Write | None = None) -> Upload:
        """Open an upload."""
        now = int(self._clock.now())
        record = UploadRecord(
            id=new_id("upload"),
            project=project,
            created_at=now,
            filename=given.filename,
            purpose=given.purpose,
            bytes=given.bytes,
            mime_type=given.mime_type,
            status="pending",
            expires_at=now + UPLOAD_LIFE_S,
            file_life_s=given.expires_after.seconds if given.expires_after else None,
        )

        def change(connection: Connection) -> Upload:
            uploads.add(connection, record)
            return record.shown()

        return await (write or self._store.write)(change)

    async def expect_part(self, project: str, upload_id: str) -> None:
        """Raise NotFound or InvalidRequest if an upload takes no parts: before anybody sends one in vain."""
        _refuse_ended(await self._find(project, upload_id), "take parts")

    async def add_part(
        self, project: str, upload_id: str, received: Received, write: Write | None = None
    ) -> UploadPart:
        """Make a part of received bytes. If that fails they are removed. Raises NotFound, InvalidRequest."""
        part = UploadPart(id=received.key, created_at=int(self._clock.now()), upload_id=upload_id)

        def change(connection: Connection) -> UploadPart:
            upload = uploads.get(connection, project, upload_id, self._clock.now())
            _refuse_ended(upload, "take parts")
            if not uploads.add_part(connection, part, received.bytes):
                raise InvalidRequest(f"The part was on its way for too long: {upload_id} has ended meanwhile.")
            return part

        async with self._files.held(received.key):
            return await (write or self._store.write)(change)

    async def complete(
        self,
        project: str,
        upload_id: str,
        given: CompleteUpload,
        write: Write | None = None,
        busy: Callable[[], None] = lambda: None,
    ) -> Upload:
        """Put the named parts together, in the order given, and make a file of them.

        `busy` is called as bytes are moved. Raises NotFound and InvalidRequest; then the upload is as it was.
        """
        write = write or self._store.write
        upload = await self._find(project, upload_id)
        if upload.status != "pending":
            return await write(partial(_refused, upload=upload))  # unless this is the retry of one that was not
        await self._check_parts(upload, given.part_ids)
        digest = hashlib.md5(usedforsecurity=False)
        chunks = _noted(chained(self._file_store, given.part_ids), digest.update, busy)
        received = await self._files.receive("file", chunks)
        async with self._files.held(received.key):
            _compare(given.md5, digest.hexdigest())
            done = await write(partial(self._end, upload=upload, received=received))
        await self._files.discard(*given.part_ids)
        return done

    async def cancel(self, project: str, upload_id: str, write: Write | None = None) -> Upload:
        """End an upload without a file; its parts are given up. Raises NotFound, InvalidRequest."""

        def change(connection: Connection) -> Upload:
            now = self._clock.now()
            _refuse_ended(uploads.get(connection, project, upload_id, now), "be cancelled")
            uploads.end(connection, upload_id, "cancelled", now)
            return uploads.get(connection, project, upload_id, now).shown()

        return await (write or self._store.write)(change)

    # --- what they have in common ------------------------------------------------------------------------------------

    async def _find(self, project: str, upload_id: str) -> UploadRecord:
        return await self._store.read(lambda connection: uploads.get(connection, project, upload_id, self._clock.now()))

    async def _check_parts(self, upload: UploadRecord, part_ids: Sequence[str]) -> None:
        there = await self._store.read(lambda connection: uploads.parts(connection, upload.id))
        for part_id in part_ids:
            if part_id not in there:
                raise NotFound("upload part", part_id)
        if len(set(part_ids)) < len(part_ids):
            raise InvalidRequest("A part is named twice in 'part_ids'; name each once.", param="part_ids")
        size = sum(there[part_id].bytes for part_id in part_ids)
        if size != upload.bytes:
            raise InvalidRequest(
                f"The parts have {size} bytes together, but the upload was created for {upload.bytes} bytes.",
                param="part_ids",
            )

    def _end(self, connection: Connection, upload: UploadRecord, received: Received) -> Upload:
        now = self._clock.now()
        _refuse_ended(uploads.get(connection, upload.project, upload.id, now), "be completed")
        file = self._files.made(received, upload.filename, upload.purpose, _life(upload))
        if not (
            uploads.end(connection, upload.id, "completed", now, file.id)
            and files.add(connection, upload.project, file)
        ):
            raise InvalidRequest(f"{upload.id} took too long to be completed.")
        return uploads.get(connection, upload.project, upload.id, now).shown(file)


def _life(upload: UploadRecord) -> ExpiresAfter | None:
    return None if upload.file_life_s is None else ExpiresAfter(anchor="created_at", seconds=upload.file_life_s)


def _refuse_ended(upload: UploadRecord, what: str) -> None:
    if upload.status != "pending":
        raise InvalidRequest(f"Upload {upload.id} has status '{upload.status}' and cannot {what}.")


def _refused(_: Connection, upload: UploadRecord) -> Upload:
    _refuse_ended(upload, "be completed")
    return upload.shown()


def _compare(expected: str | None, found: str) -> None:
    if expected is not None and expected.strip().lower() != found:
        text = f"The md5 checksum of the parts is {found}, not {expected[:80]}."
        raise InvalidRequest(text, param="md5", code="invalid_value")


async def _noted(
    chunks: AsyncIterator[bytes], note: Callable[[bytes], None], busy: Callable[[], None]
) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        note(chunk)
        busy()
        yield chunk
