"""Queries on files in vector stores, with the lease by which one worker at a time takes a file in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, func, or_, select, update

from understudy.errors import NotInStore
from understudy.protocol.attributes import Attributes
from understudy.protocol.vector_stores import (
    ChunkingStrategy,
    FileCounts,
    FileError,
    FileStatus,
    VectorStoreFile,
    auto_chunking,
    file_counts,
    shown_chunking,
)
from understudy.storage.rows import Window, allot, page
from understudy.storage.schema import file_batch_files, vector_store_files, vector_stores

NOUN = "file"
QUEUE_PATIENCE_S = 30.0
"""How long a file's job may stay unclaimed before it is enqueued again."""

_files = vector_store_files
_alive = ~_files.c.deleted
_busy = and_(_files.c.status == "in_progress", _alive)
_left_over = and_(_files.c.filled, or_(_files.c.deleted, _files.c.status.in_(("failed", "cancelled"))))


@dataclass(frozen=True, slots=True)
class Addition:
    """A file that is to be in a store. Without `attributes`, those it has there already stay."""

    file_id: str
    chunking_strategy: ChunkingStrategy = field(default_factory=auto_chunking)
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of a store as a worker holds it; `attempt` fences off whoever held it before."""

    vector_store_id: str
    id: str
    project: str
    chunking_strategy: ChunkingStrategy
    attempt: int
    tries: int

    @property
    def job(self) -> str:
        """The file's name on the bus."""
        return job_of(self.vector_store_id, self.id)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the files of a store come to."""

    file_counts: FileCounts
    usage_bytes: int


def job_of(store_id: str, file_id: str) -> str:
    """Return a file's name on the bus."""
    return f"{store_id}/{file_id}"


def _shown(row: RowMapping) -> VectorStoreFile:
    return VectorStoreFile.model_construct(
        id=row["id"],
        usage_bytes=row["usage_bytes"],
        created_at=row["created_at"],
        vector_store_id=row["vector_store_id"],
        status=row["status"],
        last_error=row["last_error"],
        chunking_strategy=shown_chunking(row["chunking_strategy"]),
        attributes=row["attributes"],
    )


def _record(row: RowMapping) -> FileRecord:
    return FileRecord(**{name: row[name] for name in FileRecord.__slots__})


def _one(store_id: str, file_id: str) -> ColumnElement[bool]:
    return and_(_files.c.vector_store_id == store_id, _files.c.id == file_id)


# --- as clients see them -----------------------------------------------------------------------------------------


def add(connection: Connection, project: str, store_id: str, additions: Sequence[Addition], now: float) -> list[str]:
    """Put files into a store; return the jobs to be enqueued. The store must be locked, the files looked up.

    A file that is there already, cut alike and not failed, stays as it is: what it says cannot have changed.
    """
    wanted = {addition.file_id: addition for addition in additions}
    here = select(_files).where(_files.c.vector_store_id == store_id, _files.c.id.in_(wanted))
    known = {row["id"]: row for row in connection.execute(here).mappings()}
    fresh = [file_id for file_id in wanted if file_id not in known or known[file_id]["deleted"]]
    place = allot(connection, vector_stores, store_id, len(fresh)) if fresh else 0
    begun = {"created_at": int(now), "deleted": False, "attributes": {}}
    rows, jobs = [], []
    for file_id, addition in wanted.items():
        before, given = known.get(file_id), _given(addition)
        if file_id in fresh:
            values = begun | given | _to_do(now) | {"seq": place}
            place += 1
            if before is None:
                rows.append(values | {"vector_store_id": store_id, "id": file_id, "project": project})
        elif before is not None and _stays(before, addition):
            values = given
        else:
            values = given | _to_do(now)
        if before is not None:
            _change_one(connection, before, values)
        if "status" in values:
            jobs.append(job_of(store_id, file_id))
    if rows:
        connection.execute(_files.insert(), rows)
    return jobs


def _given(addition: Addition) -> dict[str, Any]:
    given: dict[str, Any] = {"chunking_strategy": addition.chunking_strategy}
    return given if addition.attributes is None else given | {"attributes": addition.attributes}


def _to_do(now: float) -> dict[str, Any]:
    fresh: dict[str, Any] = {"status": "in_progress", "usage_bytes": 0, "last_error": None}
    return fresh | {"tries": 0, "worker": None, "lease_until": now + QUEUE_PATIENCE_S}


def _stays(before: RowMapping, addition: Addition) -> bool:
    alike: bool = before["chunking_strategy"] == addition.chunking_strategy
    return alike and before["status"] in ("in_progress", "completed")


def _change_one(connection: Connection, before: RowMapping, values: dict[str, Any]) -> None:
    if "status" in values:
        values = values | {"attempt": before["attempt"] + 1}
    connection.execute(update(_files).where(_one(before["vector_store_id"], before["id"])).values(values))


def get(connection: Connection, store_id: str, file_id: str) -> VectorStoreFile:
    """The store must be the caller's. Raises NotInStore."""
    row = connection.execute(select(_files).where(_one(store_id, file_id), _alive)).mappings().first()
    if row is None:
        raise NotInStore(NOUN, file_id, store_id)
    return _shown(row)


def list_page(
    connection: Connection,
    store_id: str,
    window: Window,
    status: FileStatus | None = None,
    batch_id: str | None = None,
) -> tuple[list[VectorStoreFile], bool]:
    """Return a page of the files of a store, or of one of its batches, and whether there are more."""
    parent: ColumnElement[bool] = _files.c.vector_store_id == store_id
    if batch_id is not None:
        of_batch = select(file_batch_files.c.file_id).where(file_batch_files.c.batch_id == batch_id)
        parent = and_(parent, _files.c.id.in_(of_batch))
    shown = [_alive] if status is None else [_alive, _files.c.status == status]
    rows, more = page(connection, _files, parent, shown, window, NOUN)
    return [_shown(row) for row in rows], more


def set_attributes(connection: Connection, store_id: str, file_id: str, attributes: Attributes) -> VectorStoreFile:
    """Replace a file's attributes. Raises NotInStore."""
    connection.execute(update(_files).where(_one(store_id, file_id), _alive).values(attributes=attributes))
    return get(connection, store_id, file_id)


def remove(connection: Connection, store_id: str, file_id: str) -> None:
    """Leave a tombstone; its passages are for `left_over` to tell. Raises NotInStore."""
    get(connection, store_id, file_id)
    _bury(connection, _one(store_id, file_id))


def remove_everywhere(connection: Connection, project: str, file_id: str) -> None:
    """Take a file out of every store of its project: it is being deleted."""
    _bury(connection, and_(_files.c.id == file_id, _files.c.project == project))


def _bury(connection: Connection, which: ColumnElement[bool]) -> None:
    connection.execute(update(_files).where(which).values(deleted=True, attributes={}, last_error=None))


def contents(connection: Connection, store_ids: Sequence[str]) -> dict[str, Contents]:
    """Return what the files of stores come to."""
    statement = (
        select(_files.c.vector_store_id, _files.c.status, func.count(), func.sum(_files.c.usage_bytes))
        .where(_files.c.vector_store_id.in_(store_ids), _alive)
        .group_by(_files.c.vector_store_id, _files.c.status)
    )
    found: dict[str, dict[str, tuple[int, int]]] = {store_id: {} for store_id in store_ids}
    for store_id, status, count, size in connection.execute(statement):
        found[store_id][status] = (count, int(size))
    return {
        store_id: Contents(
            file_counts({status: count for status, (count, _) in by_status.items()}),
            sum(size for _, size in by_status.values()),
        )
        for store_id, by_status in found.items()
    }


def attributes_of(
    connection: Connection, store_ids: Collection[str], file_ids: Collection[str] | None = None
) -> list[tuple[str, str, Attributes]]:
    """Return the store, the id and the attributes of every file that can be searched, or of those named."""
    columns = (_files.c.vector_store_id, _files.c.id, _files.c.attributes)
    searchable = (_alive, _files.c.status.in_(("in_progress", "completed")))
    statement = select(*columns).where(_files.c.vector_store_id.in_(store_ids), *searchable)
    if file_ids is not None:
        statement = statement.where(_files.c.id.in_(file_ids))
    return [(row[0], row[1], row[2]) for row in connection.execute(statement)]


# --- as ingestion sees them --------------------------------------------------------------------------------------


def find(connection: Connection, store_id: str, file_id: str) -> RowMapping | None:
    """Return a file's row, deleted or not."""
    return connection.execute(select(_files).where(_one(store_id, file_id))).mappings().first()


def claim(
    connection: Connection, store_id: str, file_id: str, worker: str, now: float, lease_s: float
) -> FileRecord | None:
    """Make a file a worker's own, if it is to be taken in and nobody else is at it."""
    free = or_(_files.c.worker.is_(None), _files.c.lease_until < now)
    holds = {
        "worker": worker,
        "lease_until": now + lease_s,
        "attempt": _files.c.attempt + 1,
        "tries": _files.c.tries + 1,
        "filled": True,
    }
    statement = update(_files).where(_one(store_id, file_id), _busy, free).values(holds).returning(*_files.c)
    row = connection.execute(statement).mappings().first()
    return None if row is None else _record(row)


def claim_anew(
    connection: Connection, store_id: str, file_id: str, worker: str, now: float, lease_s: float
) -> FileRecord | None:
    """Make a file a worker's own that is in already, to be indexed in another way; nobody else sees that.

    None also for a file whose store is being emptied.
    """
    free = or_(_files.c.worker.is_(None), _files.c.lease_until < now)
    done = and_(_one(store_id, file_id), _files.c.status == "completed", _files.c.filled, _alive, free)
    holds = {"worker": worker, "lease_until": now + lease_s, "attempt": _files.c.attempt + 1}
    statement = update(_files).where(done).values(holds).returning(*_files.c)
    row = connection.execute(statement).mappings().first()
    return None if row is None else _record(row)


def release(connection: Connection, held: FileRecord) -> None:
    """Let go of a file that was claimed anew."""
    mine = and_(_held(held, "completed"), _files.c.worker.is_not(None))
    connection.execute(update(_files).where(mine).values(worker=None, lease_until=0.0))


def _held(held: FileRecord, status: FileStatus = "in_progress") -> ColumnElement[bool]:
    mine = and_(_one(held.vector_store_id, held.id), _files.c.attempt == held.attempt)
    return and_(mine, _files.c.status == status, _alive)


def is_held(connection: Connection, held: FileRecord, status: FileStatus = "in_progress") -> bool:
    """Tell whether a file is still its worker's own."""
    return connection.execute(select(_files.c.id).where(_held(held, status))).first() is not None


def lock_held(connection: Connection, held: FileRecord, status: FileStatus = "in_progress") -> bool:
    """Tell whether a file is still its worker's own, and keep it so until the transaction ends.

    This is the fence of whatever is written beside its row: who takes the file away comes after that, and finds it.
    """
    mine = select(_files.c.id).where(_held(held, status)).with_for_update(read=True)
    return connection.execute(mine).first() is not None


def renew(connection: Connection, held: FileRecord, lease_until: float) -> bool:
    """Extend a worker's lease; False if the file is no longer its own."""
    return connection.execute(update(_files).where(_held(held)).values(lease_until=lease_until)).rowcount == 1


def finish(connection: Connection, held: FileRecord, *, usage_bytes: int = 0, error: FileError | None = None) -> bool:
    """End a worker's work on a file, well or with an error; False if the file was no longer its own."""
    status: FileStatus = "completed" if error is None else "failed"
    values = {"status": status, "usage_bytes": usage_bytes, "last_error": error, "worker": None, "lease_until": 0.0}
    return connection.execute(update(_files).where(_held(held)).values(values)).rowcount == 1


def hand_back(connection: Connection, held: FileRecord) -> None:
    """Give a file up as if it had never been claimed."""
    values = {"worker": None, "lease_until": 0.0, "tries": _files.c.tries - 1}
    connection.execute(update(_files).where(_held(held)).values(values))


def cancel(connection: Connection, store_id: str, file_ids: Collection[str]) -> list[str]:
    """Cancel those of the files that are in progress; return their jobs."""
    mine = and_(_files.c.vector_store_id == store_id, _files.c.id.in_(file_ids), _busy)
    statement = update(_files).where(mine).values(status="cancelled", worker=None).returning(_files.c.id)
    return [job_of(store_id, file_id) for file_id in connection.execute(statement).scalars()]


def unheld(connection: Connection, now: float, count: int) -> list[str]:
    """Return jobs of files that are to be taken in and that nobody is at, the longest waiting first."""
    idle = select(_files.c.vector_store_id, _files.c.id).where(_busy, _files.c.lease_until < now)
    found = connection.execute(idle.order_by(_files.c.lease_until).limit(count)).all()
    return [job_of(store_id, file_id) for store_id, file_id in found]


def be_patient(connection: Connection, jobs: Collection[str], now: float) -> None:
    """Give files that nobody is at a while to be claimed."""
    for job in jobs:
        patient = update(_files).where(_one(*job.split("/")), _busy, _files.c.lease_until < now)
        connection.execute(patient.values(lease_until=now + QUEUE_PATIENCE_S, worker=None))


def release_all(connection: Connection) -> None:
    """Let go of every lease: for the start of a server that is alone on its database."""
    connection.execute(update(_files).where(_busy).values(worker=None, lease_until=0.0))


def left_over(connection: Connection, count: int) -> list[tuple[str, str]]:
    """Return stores and ids of files that are gone, failed or cancelled, and may have passages."""
    statement = select(_files.c.vector_store_id, _files.c.id).where(_left_over).limit(count)
    return [(row[0], row[1]) for row in connection.execute(statement)]


def have_left_over(connection: Connection, store_ids: Collection[str]) -> bool:
    """Tell whether there may be passages of files that are gone, failed or cancelled."""
    statement = select(_files.c.id).where(_files.c.vector_store_id.in_(store_ids), _left_over)
    return connection.execute(statement.limit(1)).first() is not None


def is_left_over(connection: Connection, store_id: str, file_id: str) -> bool:
    """Tell whether a file is gone, failed or cancelled, and may have passages."""
    return connection.execute(select(_files.c.id).where(_one(store_id, file_id), _left_over)).first() is not None


def note_emptied(connection: Connection, store_id: str, file_id: str) -> None:
    """Note that a file has no passages any more, if none have been made meanwhile."""
    connection.execute(update(_files).where(_one(store_id, file_id), _left_over).values(filled=False))


def end_all(connection: Connection, store_id: str, error: FileError) -> list[str]:
    """Take all files of a store from whoever is at them, for good; return the jobs of those in progress, which fail.

    None counts as filled any more: its passages go with the store's.
    """
    mine = _files.c.vector_store_id == store_id
    failed = {"status": "failed", "last_error": error, "lease_until": 0.0}
    ended = connection.execute(update(_files).where(mine, _busy).values(failed).returning(_files.c.id)).scalars().all()
    connection.execute(update(_files).where(mine).values(attempt=_files.c.attempt + 1, worker=None, filled=False))
    return [job_of(store_id, file_id) for file_id in ended]


def forget_store(connection: Connection, store_id: str) -> None:
    """Drop the rows of a store that is gone."""
    connection.execute(delete(_files).where(_files.c.vector_store_id == store_id))
