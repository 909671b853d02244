"""Queries on messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Text, bindparam, cast, func, select, update

from understudy.errors import NotFound
from understudy.protocol.messages import Content, Message, Role
from understudy.storage import posts
from understudy.storage.rows import Window, allot, given, page
from understudy.storage.schema import messages, threads

NOUN = "message"
_FIELDS = [name for name in Message.model_fields if name != "object"]
_WRITTEN = {"status", "content", "incomplete_details", "incomplete_at", "completed_at"}

_INSERT = messages.insert()
_LISTED = (given(messages.c.thread_id), ~messages.c.deleted, ~messages.c.abandoned)
_FROM_USER = select(messages.c.id).where(*_LISTED, messages.c.role == "user").limit(1)
_SAID = (messages.c.seq, messages.c.id, messages.c.run_id, messages.c.role, messages.c.content)
_FINISHED = select(*_SAID).where(*_LISTED, messages.c.status != "in_progress")
_BEFORE = _FINISHED.where(messages.c.seq < bindparam("before"))
_NEWEST = _BEFORE.order_by(messages.c.seq.desc()).limit(bindparam("most"))
_BEGUN = ~((messages.c.status == "in_progress") & (cast(messages.c.content, Text) == "[]"))
_FIRST = select(messages).where(*_LISTED, _BEGUN).limit(bindparam("most"))
_FIRST_PAGE = {"asc": _FIRST.order_by(messages.c.seq), "desc": _FIRST.order_by(messages.c.seq.desc())}
_SAVE = update(messages).where(given(messages.c.id), ~messages.c.deleted)
_LAST_PLACE = 2**62


def _message(row: RowMapping) -> Message:
    return Message.model_construct(**{name: row[name] for name in _FIELDS})


def _listed(thread_id: str) -> tuple[ColumnElement[bool], ...]:
    """All that a thread shows: nothing deleted, nothing left behind by a dead worker."""
    return (messages.c.thread_id == thread_id, ~messages.c.deleted, ~messages.c.abandoned)


def add(connection: Connection, project: str, thread_id: str, new: Sequence[Message]) -> None:
    """Append messages to a thread, in their order."""
    if not new:
        return
    first = allot(connection, threads, thread_id, len(new))
    rows = [
        message.model_dump(exclude={"object"}) | {"project": project, "seq": first + offset}
        for offset, message in enumerate(new)
    ]
    connection.execute(_INSERT, rows)


def get(connection: Connection, project: str, thread_id: str, message_id: str) -> Message:
    """Raises NotFound."""
    mine = (messages.c.id == message_id, messages.c.thread_id == thread_id, messages.c.project == project)
    row = connection.execute(select(messages).where(*mine, ~messages.c.deleted)).mappings().first()
    if row is None:
        raise NotFound(NOUN, message_id)
    return _message(row)


def list_page(
    connection: Connection, thread_id: str, window: Window, run_id: str | None = None
) -> tuple[list[Message], bool]:
    """Return a page of a thread's messages, and whether there are more. A message not yet begun is not shown."""
    if run_id is None and window.is_first:
        values = {"given_thread_id": thread_id, "most": window.limit + 1}
        found = connection.execute(_FIRST_PAGE[window.order], values).mappings().all()
        return [_message(row) for row in found[: window.limit]], len(found) > window.limit
    shown = [*_listed(thread_id), _BEGUN]
    if run_id is not None:
        shown.append(messages.c.run_id == run_id)
    rows, more = page(connection, messages, messages.c.thread_id == thread_id, shown, window, NOUN)
    return [_message(row) for row in rows], more


@dataclass(frozen=True, slots=True)
class Said:
    """Of a message what a model is told: thousands of them may go into a prompt."""

    id: str
    run_id: str | None
    role: Role
    content: list[Content]


def newest(connection: Connection, thread_id: str, limit: int, before: int | None = None) -> list[tuple[int, Said]]:
    """Return the newest messages of a thread that are finished, newest first, each with its place in the thread."""
    values = {"given_thread_id": thread_id, "before": _LAST_PLACE if before is None else before, "most": limit}
    return [(place, Said(*said)) for place, *said in connection.execute(_NEWEST, values)]


def placed(connection: Connection, thread_id: str, message_ids: Sequence[str]) -> list[tuple[int, Said]]:
    """Return those messages of a thread that are still there, oldest first, each with its place in the thread."""
    here = (messages.c.thread_id == thread_id, messages.c.id.in_(message_ids), ~messages.c.deleted)
    said = (messages.c.seq, messages.c.id, messages.c.run_id, messages.c.role, messages.c.content)
    rows = connection.execute(select(*said).where(*here).order_by(messages.c.seq))
    return [(place, Said(*values)) for place, *values in rows]


def place_of_first(connection: Connection, message_ids: Sequence[str]) -> int | None:
    """Return the place of the oldest of these messages, deleted ones included."""
    statement = select(func.min(messages.c.seq)).where(messages.c.id.in_(message_ids))
    return connection.execute(statement).scalar()


def has_user_message(connection: Connection, thread_id: str) -> bool:
    """Tell whether anybody has said anything to the assistant in this thread."""
    return connection.execute(_FROM_USER, {"given_thread_id": thread_id}).first() is not None


def unfinished(connection: Connection, run_id: str) -> list[Message]:
    """Return a run's messages that are still being written."""
    statement = select(messages).where(messages.c.run_id == run_id, messages.c.status == "in_progress")
    return [_message(row) for row in connection.execute(statement.order_by(messages.c.seq)).mappings()]


def save(connection: Connection, message: Message, *, abandoned: bool = False) -> None:
    """Write a message's state and content, unless somebody has deleted it while it was written."""
    values = message.model_dump(include=_WRITTEN) | {"abandoned": abandoned, "given_id": message.id}
    connection.execute(_SAVE, values)


def change(connection: Connection, message_id: str, values: dict[str, Any]) -> None:
    """Set columns."""
    if values:
        connection.execute(update(messages).where(messages.c.id == message_id).values(values))


def delete(connection: Connection, message_id: str) -> None:
    """Leave a tombstone without content."""
    change(connection, message_id, {"deleted": True, "content": [], "attachments": [], "metadata": {}})
    posts.forget_object(connection, message_id)
