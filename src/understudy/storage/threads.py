"""Queries on threads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Executable, and_, exists, or_, select, update
from sqlalchemy import delete as delete_from

from understudy.errors import NotFound
from understudy.protocol.base import Metadata
from understudy.protocol.threads import Thread
from understudy.protocol.tools import ToolResources
from understudy.storage import file_uses, posts
from understudy.storage.rows import allot_in_project, given, insert
from understudy.storage.schema import ACTIVE, messages, model_calls, runs, steps, threads

NOUN = "thread"
_CONTENTS = (messages, steps, model_calls, runs)
_TOMBSTONE = {"deleted": True, "metadata": {}, "tool_resources": {}}
_MINE = (given(threads.c.id), given(threads.c.project))
_SHOWN = (threads.c.id, threads.c.created_at, threads.c.metadata, threads.c.tool_resources)
_GET = select(*_SHOWN).where(*_MINE, ~threads.c.deleted)
_LOCK = update(threads).where(*_MINE, ~threads.c.deleted).values(last_seq=threads.c.last_seq).returning(*_SHOWN)


def _thread(thread_id: str, created_at: int, metadata: Metadata, resources: ToolResources) -> Thread:
    # A thread's code interpreter files are always shown: the hosted API does so on GET and in events (recorded).
    shown: ToolResources = {"code_interpreter": {"file_ids": []}} | resources
    return Thread.model_construct(id=thread_id, created_at=created_at, metadata=metadata, tool_resources=shown)


def add(connection: Connection, project: str, thread: Thread) -> Thread:
    """Store a new thread; return it as it is shown."""
    place = allot_in_project(connection, project)
    insert(connection, threads, thread.model_dump(exclude={"object"}) | {"project": project, "seq": place})
    file_uses.keep(connection, thread.id, thread.tool_resources, new=True)
    return _thread(thread.id, thread.created_at, thread.metadata, thread.tool_resources)


def get(connection: Connection, project: str, thread_id: str) -> Thread:
    """Raises NotFound."""
    return _found(connection, _GET, project, thread_id)


def lock(connection: Connection, project: str, thread_id: str) -> Thread:
    """Get a thread and keep its row from all others until the transaction ends. Raises NotFound."""
    return _found(connection, _LOCK, project, thread_id)


def _found(connection: Connection, statement: Executable, project: str, thread_id: str) -> Thread:
    row = connection.execute(statement, {"given_id": thread_id, "given_project": project}).first()
    if row is None:
        raise NotFound(NOUN, thread_id)
    return _thread(*row)


def change(connection: Connection, project: str, thread_id: str, values: dict[str, Any]) -> Thread:
    """Set columns and return the result. Raises NotFound."""
    get(connection, project, thread_id)
    if values:
        connection.execute(update(threads).where(threads.c.id == thread_id).values(values))
    if "tool_resources" in values:
        file_uses.keep(connection, thread_id, values["tool_resources"])
    return get(connection, project, thread_id)


def delete(connection: Connection, project: str, thread_id: str) -> None:
    """Remove a thread with all that is in it; a tombstone stays. Raises NotFound."""
    lock(connection, project, thread_id)
    for table in _CONTENTS:
        connection.execute(delete_from(table).where(table.c.thread_id == thread_id))
    file_uses.forget(connection, thread_id)
    posts.forget_threads(connection, [thread_id])
    connection.execute(update(threads).where(threads.c.id == thread_id).values(_TOMBSTONE))


@dataclass(frozen=True, slots=True)
class Old:
    """A batch of all threads: those not used since a moment, and those deleted but not yet emptied; `last` is its end.

    No `last`: there are no further threads.
    """

    unused: list[str]
    unemptied: list[str]
    last: str | None


def unused(connection: Connection, after: str, limit: int, count: int) -> Old:
    """Look at the next `count` threads, of whichever project, for those not used since `limit`."""
    batch = select(threads.c.id).where(threads.c.id > after).order_by(threads.c.id).limit(count)
    ids = connection.execute(batch).scalars().all()
    here = threads.c.id.in_(ids)
    old = connection.execute(select(threads.c.id).where(here, _is_unused(limit))).scalars().all()
    full = or_(*(exists().where(table.c.thread_id == threads.c.id) for table in _CONTENTS))
    dead = connection.execute(select(threads.c.id).where(here, threads.c.deleted, full)).scalars().all()
    return Old(list(old), list(dead), ids[-1] if len(ids) == count else None)


def bury_unused(connection: Connection, thread_ids: Sequence[str], limit: int) -> int:
    """Make threads tombstones, but for those that somebody has used meanwhile; return how many.

    What was in them is left to `empty`.
    """
    buried = [thread_id for thread_id in thread_ids if _bury_if_unused(connection, thread_id, limit)]
    for thread_id in buried:
        file_uses.forget(connection, thread_id)
    if buried:
        posts.forget_threads(connection, buried)  # at once: it looks at all of them
    return len(buried)


def _bury_if_unused(connection: Connection, thread_id: str, limit: int) -> bool:
    statement = update(threads).where(threads.c.id == thread_id, _is_unused(limit)).values(_TOMBSTONE)
    return connection.execute(statement).rowcount == 1


def empty(connection: Connection, thread_id: str, count: int) -> int:
    """Remove up to `count` rows of what was in a deleted thread; return how many."""
    for table in _CONTENTS:
        some = select(table.c.id).where(table.c.thread_id == thread_id).limit(count)
        if gone := connection.execute(delete_from(table).where(table.c.id.in_(some))).rowcount:
            return gone
    return 0


def _is_unused(limit: int) -> ColumnElement[bool]:
    def has(table: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        return exists().where(table.c.thread_id == threads.c.id, *conditions)

    return and_(
        ~threads.c.deleted,
        threads.c.created_at < limit,
        ~has(messages, messages.c.created_at >= limit),
        ~has(runs, or_(runs.c.created_at >= limit, runs.c.status.in_(ACTIVE))),
    )
