"""Queries on batches of files. How far a batch is, its files tell."""

from collections.abc import Iterable

from sqlalchemy import Connection, func, select, update

from understudy.errors import NotInStore
from understudy.protocol.vector_stores import BatchStatus, FileBatch, FileCounts, file_counts
from understudy.storage import vector_store_files as file_rows
from understudy.storage.rows import insert
from understudy.storage.schema import file_batch_files, file_batches, vector_store_files

NOUN = "file batch"


def add(
    connection: Connection, project: str, batch_id: str, store_id: str, file_ids: Iterable[str], now: float
) -> None:
    """Store a new batch; its files are in the store already."""
    row = {"id": batch_id, "project": project, "created_at": int(now), "vector_store_id": store_id}
    insert(connection, file_batches, row)
    members = [{"batch_id": batch_id, "file_id": file_id} for file_id in dict.fromkeys(file_ids)]
    connection.execute(file_batch_files.insert(), members)


def get(connection: Connection, project: str, store_id: str, batch_id: str) -> FileBatch:
    """Raises NotInStore. A file that was taken out of the store since does not count."""
    mine = (file_batches.c.id == batch_id, file_batches.c.vector_store_id == store_id)
    found = select(file_batches).where(*mine, file_batches.c.project == project)
    row = connection.execute(found).mappings().first()
    if row is None:
        raise NotInStore(NOUN, batch_id, store_id)
    counts = _counts(connection, store_id, batch_id)
    return FileBatch.model_construct(
        id=batch_id,
        created_at=row["created_at"],
        status=_status(counts, cancelled=row["cancelled_at"] is not None),
        vector_store_id=store_id,
        file_counts=counts,
    )


def _counts(connection: Connection, store_id: str, batch_id: str) -> FileCounts:
    status = vector_store_files.c.status
    statement = (
        select(status, func.count())
        .join(file_batch_files, file_batch_files.c.file_id == vector_store_files.c.id)
        .where(file_batch_files.c.batch_id == batch_id, vector_store_files.c.vector_store_id == store_id)
        .where(~vector_store_files.c.deleted)
        .group_by(status)
    )
    return file_counts({row[0]: row[1] for row in connection.execute(statement)})


def _status(counts: FileCounts, *, cancelled: bool) -> BatchStatus:
    if cancelled:
        return "cancelled"
    if counts["in_progress"]:
        return "in_progress"
    return "failed" if counts["failed"] and counts["failed"] == counts["total"] else "completed"


def cancel(connection: Connection, project: str, store_id: str, batch_id: str, now: float) -> list[str]:
    """Cancel what of a batch is in progress; return the jobs of it. A finished one stays as it is (recorded)."""
    if get(connection, project, store_id, batch_id).status != "in_progress":
        return []
    members = select(file_batch_files.c.file_id).where(file_batch_files.c.batch_id == batch_id)
    file_ids = connection.execute(members).scalars().all()
    statement = update(file_batches).where(file_batches.c.id == batch_id)
    connection.execute(statement.values(cancelled_at=int(now)))
    return file_rows.cancel(connection, store_id, file_ids)
