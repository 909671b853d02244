"""Changes of what vector stores hold, each whole within one transaction. What there is to do then, jobs tell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from sqlalchemy import Connection

from understudy.errors import FilesNotFound, InvalidRequest
from understudy.ids import new_id
from understudy.protocol.base import Metadata
from understudy.protocol.files import FileObject
from understudy.protocol.vector_stores import RETRIEVABLE, ChunkingStrategy, ExpiresAfter, auto_chunking
from understudy.storage import files, vector_store_files, vector_stores
from understudy.storage.vector_store_files import Addition
from understudy.storage.vector_stores import StoreRecord


@dataclass(frozen=True, slots=True)
class NewStore:
    """What a vector store is made from."""

    file_ids: Sequence[str] = ()
    name: str | None = None
    description: str | None = None
    expires_after: ExpiresAfter | None = None
    chunking_strategy: ChunkingStrategy = field(default_factory=auto_chunking)
    metadata: Metadata | None = None


def make(connection: Connection, project: str, given: NewStore, now: float) -> tuple[StoreRecord, list[str]]:
    """Make a store with its first files; return it and the jobs to be enqueued. Raises as `fill`."""
    moment = int(now)
    store = StoreRecord(
        id=new_id("vector_store"),
        created_at=moment,
        name=given.name,
        description=given.description,
        expires_after=given.expires_after,
        expires_at=vector_stores.expiry(given.expires_after, moment),
        last_active_at=moment,
        metadata=given.metadata or {},
    )
    vector_stores.add(connection, project, store)
    additions = [Addition(file_id, given.chunking_strategy) for file_id in given.file_ids]
    return store, _add(connection, project, store.id, additions, now)


def fill(connection: Connection, project: str, store_id: str, additions: Sequence[Addition], now: float) -> list[str]:
    """Put files into a store; return the jobs to be enqueued.

    Raises NotFound, FilesNotFound, and InvalidRequest if the store has expired or files are of a kind that is not read.
    """
    vector_stores.lock(connection, project, store_id, now)
    jobs = _add(connection, project, store_id, additions, now)
    vector_stores.touch(connection, [store_id], now)
    return jobs


def _add(connection: Connection, project: str, store_id: str, additions: Sequence[Addition], now: float) -> list[str]:
    if not additions:
        return []
    _refuse_unusable_files(connection, project, [addition.file_id for addition in additions], now)
    return vector_store_files.add(connection, project, store_id, additions, now)


def _refuse_unusable_files(connection: Connection, project: str, file_ids: Iterable[str], now: float) -> None:
    wanted = list(dict.fromkeys(file_ids))
    known = files.find(connection, project, wanted, now)
    missing = [file_id for file_id in wanted if file_id not in known]
    if missing:
        raise FilesNotFound(missing)
    _refuse_unread_kinds([known[file_id] for file_id in wanted])


def _refuse_unread_kinds(given: Iterable[FileObject]) -> None:
    """Text: behaviours.md, row 26, with our list for the hosted API's. Names without one fail where they are read."""
    extensions = dict.fromkeys(PurePosixPath(file.filename).suffix.lower().removeprefix(".") for file in given)
    unread = [extension for extension in extensions if extension and extension not in RETRIEVABLE]
    if unread:
        raise InvalidRequest(
            f"Files with extensions [{_dotted(unread)}] are not supported for retrieval. "
            f"Supported are {_dotted(RETRIEVABLE)}.",
            param="file_ids",
            code="unsupported_file",
        )


def _dotted(extensions: Iterable[str]) -> str:
    return ", ".join(f".{extension}" for extension in extensions)
