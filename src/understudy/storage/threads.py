"""Queries on threads."""

from typing import Any

from sqlalchemy import Connection, RowMapping, select, update
from sqlalchemy import delete as delete_from

from understudy.errors import NotFound
from understudy.protocol.threads import Thread
from understudy.storage import posts
from understudy.storage.rows import allot_in_project, insert
from understudy.storage.schema import messages, model_calls, runs, steps, threads

NOUN = "thread"


def _thread(row: RowMapping) -> Thread:
    # A thread's code interpreter files are always shown: the hosted API does so on GET and in events (recorded).
    resources = {"code_interpreter": {"file_ids": []}} | row["tool_resources"]
    return Thread.model_construct(
        id=row["id"], created_at=row["created_at"], metadata=row["metadata"], tool_resources=resources
    )


def add(connection: Connection, project: str, thread: Thread) -> None:
    """Store a new thread."""
    place = allot_in_project(connection, project)
    insert(connection, threads, thread.model_dump(exclude={"object"}) | {"project": project, "seq": place})


def get(connection: Connection, project: str, thread_id: str) -> Thread:
    """Raises NotFound."""
    mine = (threads.c.id == thread_id, threads.c.project == project, ~threads.c.deleted)
    row = connection.execute(select(threads).where(*mine)).mappings().first()
    if row is None:
        raise NotFound(NOUN, thread_id)
    return _thread(row)


def lock(connection: Connection, project: str, thread_id: str) -> Thread:
    """Get a thread and keep its row from all others until the transaction ends. Raises NotFound."""
    mine = (threads.c.id == thread_id, threads.c.project == project)
    connection.execute(update(threads).where(*mine).values(last_seq=threads.c.last_seq))
    return get(connection, project, thread_id)


def change(connection: Connection, project: str, thread_id: str, values: dict[str, Any]) -> Thread:
    """Set columns and return the result. Raises NotFound."""
    get(connection, project, thread_id)
    if values:
        connection.execute(update(threads).where(threads.c.id == thread_id).values(values))
    return get(connection, project, thread_id)


def delete(connection: Connection, project: str, thread_id: str) -> None:
    """Remove a thread with all that is in it; a tombstone stays. Raises NotFound."""
    lock(connection, project, thread_id)
    for table in (messages, steps, model_calls, runs):
        connection.execute(delete_from(table).where(table.c.thread_id == thread_id))
    posts.forget_thread(connection, thread_id)
    tombstone = {"deleted": True, "metadata": {}, "tool_resources": {}}
    connection.execute(update(threads).where(threads.c.id == thread_id).values(tombstone))
