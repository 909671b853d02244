"""Queries on uploads and their parts. A part's bytes lie in the file store, under the part's id."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from understudy.errors import NotFound
from understudy.protocol.files import FileObject, GivenPurpose
from understudy.protocol.uploads import Upload, UploadPart, UploadStatus
from understudy.storage import loose_bytes
from understudy.storage.rows import insert
from understudy.storage.schema import upload_parts, uploads

NOUN = "upload"


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """An upload as it is stored."""

    id: str
    project: str
    created_at: int
    filename: str
    purpose: GivenPurpose
    bytes: int
    mime_type: str
    status: UploadStatus
    expires_at: int
    file_life_s: int | None = None
    file_id: str | None = None

    def shown(self, file: FileObject | None = None) -> Upload:
        """Render, with the file that it has become."""
        names = ("id", "bytes", "created_at", "filename", "purpose", "status", "expires_at")
        return Upload.model_construct(**{name: getattr(self, name) for name in names}, file=file)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part and its size."""

    id: str
    bytes: int


_FIELDS = UploadRecord.__slots__


def add(connection: Connection, upload: UploadRecord) -> None:
    """Store a new upload."""
    insert(connection, uploads, {name: getattr(upload, name) for name in _FIELDS})


def get(connection: Connection, project: str, upload_id: str, now: float) -> UploadRecord:
    """Return an upload; one past its hour is expired, whatever the sweeper has come to. Raises NotFound."""
    mine = (uploads.c.id == upload_id, uploads.c.project == project)
    row = connection.execute(select(uploads).where(*mine)).mappings().first()
    if row is None:
        raise NotFound(NOUN, upload_id)
    late = row["status"] == "pending" and row["expires_at"] <= now
    return UploadRecord(**{name: row[name] for name in _FIELDS} | ({"status": "expired"} if late else {}))


def add_part(connection: Connection, part: UploadPart, size: int) -> bool:
    """Store a part whose bytes are all there; False if the upload or the bytes are gone meanwhile."""
    waits = (uploads.c.id == part.upload_id, uploads.c.status == "pending")
    if connection.execute(update(uploads).where(*waits).values(status="pending")).rowcount != 1:
        return False
    if not loose_bytes.own(connection, part.id):
        return False
    insert(connection, upload_parts, part.model_dump(exclude={"object"}) | {"bytes": size})
    return True


def parts(connection: Connection, upload_id: str) -> dict[str, StoredPart]:
    """Return an upload's parts by their ids."""
    mine = select(upload_parts.c.id, upload_parts.c.bytes).where(upload_parts.c.upload_id == upload_id)
    return {row.id: StoredPart(row.id, row.bytes) for row in connection.execute(mine)}


def end(connection: Connection, upload_id: str, status: UploadStatus, now: float, file_id: str | None = None) -> bool:
    """End an upload that is pending, and give its parts up; False if it has ended already."""
    waits = (uploads.c.id == upload_id, uploads.c.status == "pending")
    if connection.execute(update(uploads).where(*waits).values(status=status, file_id=file_id)).rowcount != 1:
        return False
    loose_bytes.add(connection, list(parts(connection, upload_id)), now)
    connection.execute(delete(upload_parts).where(upload_parts.c.upload_id == upload_id))
    return True


def expired(connection: Connection, now: float, count: int) -> Sequence[str]:
    """Return uploads that are past their hour, of whichever project."""
    late = (uploads.c.status == "pending", uploads.c.expires_at <= now)
    return connection.execute(select(uploads.c.id).where(*late).limit(count)).scalars().all()
