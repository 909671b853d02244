"""Queries on all threads of a project: the list, its filters, and what it shows of each thread."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Text, cast, exists, func, select, tuple_

from understudy.protocol.messages import Content
from understudy.protocol.thread_list import MAX_TITLE, LastRun, ListedThread, TokenSum
from understudy.storage.rows import Window, page
from understudy.storage.schema import messages, runs, threads

NOUN = "thread"


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """`metadata` must all be there; `text` must occur in one message (letters of ASCII in either case)."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None


ANY = ThreadFilter()


def list_page(
    connection: Connection, project: str, window: Window, wanted: ThreadFilter = ANY
) -> tuple[list[ListedThread], bool]:
    """Return a page of a project's threads, and whether there are more. Raises NotFound for an unknown cursor."""
    rows, more = _matching(connection, project, window, wanted)
    return _listed(connection, rows), more


def _matching(
    connection: Connection, project: str, window: Window, wanted: ThreadFilter
) -> tuple[list[RowMapping], bool]:
    """Page on until enough threads really match: what the database can compare is a little too wide.

    Both sides are JSON texts there, the columns as they are stored: a word of their syntax is found in every row.
    """
    backwards = window.before is not None and window.after is None
    conditions = [~threads.c.deleted, *_likely(wanted)]
    found: list[RowMapping] = []
    while True:
        rows, more = page(connection, threads, threads.c.project == project, conditions, window, NOUN)
        kept = _certain(connection, rows, wanted)
        found = [*kept, *found] if backwards else [*found, *kept]
        if not more or len(found) > window.limit:
            break
        window = replace(window, before=rows[0]["id"]) if backwards else replace(window, after=rows[-1]["id"])
    more = more or len(found) > window.limit
    return (found[-window.limit :] if backwards else found[: window.limit]), more


def _likely(wanted: ThreadFilter) -> Iterable[ColumnElement[bool]]:
    for key, value in wanted.metadata.items():
        pair = f"{json.dumps(key)}: {json.dumps(value)}"
        yield cast(threads.c.metadata, Text).contains(pair, autoescape=True)
    if wanted.text is not None:
        yield exists().where(messages.c.thread_id == threads.c.id, *_says(wanted.text))


def _says(text: str) -> tuple[ColumnElement[bool], ...]:
    content = cast(messages.c.content, Text)
    return (~messages.c.deleted, ~messages.c.abandoned, content.icontains(_escaped(text), autoescape=True))


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


def _certain(connection: Connection, rows: Sequence[RowMapping], wanted: ThreadFilter) -> list[RowMapping]:
    kept = [row for row in rows if wanted.metadata.items() <= row["metadata"].items()]
    if wanted.text is None or not kept:
        return kept
    sought = _folded(wanted.text)
    ids = [row["id"] for row in kept]
    statement = select(messages.c.thread_id, messages.c.content)
    said = connection.execute(statement.where(messages.c.thread_id.in_(ids), *_says(wanted.text)))
    saying = {thread_id for thread_id, content in said if sought in _folded(_text(content))}
    return [row for row in kept if row["id"] in saying]


def _folded(text: str) -> str:
    return text.translate(_LOWER)


_LOWER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def _text(content: Sequence[Content]) -> str:
    return "\n".join(part["text"]["value"] for part in content if part["type"] == "text")


# --- what the list shows -----------------------------------------------------------------------------------------


def _listed(connection: Connection, rows: Sequence[RowMapping]) -> list[ListedThread]:
    ids = [row["id"] for row in rows]
    told = (_said(connection, ids), _run(connection, ids))
    return [_thread(row, *(part.get(row["id"], {}) for part in told)) for row in rows]


def _thread(row: RowMapping, said: Mapping[str, Any], ran: Mapping[str, Any]) -> ListedThread:
    return ListedThread(
        id=row["id"],
        created_at=row["created_at"],
        metadata=row["metadata"],
        tool_resources={"code_interpreter": {"file_ids": []}} | row["tool_resources"],
        title=said.get("title"),
        message_count=said.get("count", 0),
        run_count=ran.get("count", 0),
        last_run=ran.get("last"),
        usage=ran.get("usage", TokenSum(prompt_tokens=0, completion_tokens=0, total_tokens=0)),
    )


def _said(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Count each thread's messages, and read how the first one of its user begins."""
    shown = (messages.c.thread_id.in_(ids), ~messages.c.deleted, ~messages.c.abandoned)
    counting = select(messages.c.thread_id, func.count()).where(*shown).group_by(messages.c.thread_id)
    said = {thread_id: {"count": count} for thread_id, count in connection.execute(counting)}
    asked = (*shown, messages.c.role == "user")
    first = select(messages.c.thread_id, func.min(messages.c.seq)).where(*asked).group_by(messages.c.thread_id)
    places = list(connection.execute(first))
    at_place = tuple_(messages.c.thread_id, messages.c.seq).in_(places)
    for row in connection.execute(select(messages.c.thread_id, messages.c.content).where(at_place)).mappings():
        text = " ".join(_text(row["content"]).split())
        said[row["thread_id"]]["title"] = text[:MAX_TITLE] or None
    return said


def _run(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Count each thread's runs, sum their tokens, and read the last one."""
    sums = (_sum(name) for name in TokenSum.model_fields)
    counting = select(runs.c.thread_id, func.count().label("count"), func.max(runs.c.seq).label("place"), *sums)
    grouped = counting.where(runs.c.thread_id.in_(ids)).group_by(runs.c.thread_id)
    rows = connection.execute(grouped).mappings().all()
    at_place = tuple_(runs.c.thread_id, runs.c.seq).in_([(row["thread_id"], row["place"]) for row in rows])
    shown = [runs.c[name] for name in ("thread_id", *LastRun.model_fields)]
    last = {row["thread_id"]: row for row in connection.execute(select(*shown).where(at_place)).mappings()}
    return {row["thread_id"]: _ran(row, last[row["thread_id"]]) for row in rows}


def _sum(name: str) -> ColumnElement[int]:
    return func.coalesce(func.sum(runs.c.usage[name].as_integer()), 0).label(name)


def _ran(row: RowMapping, last: RowMapping) -> dict[str, Any]:
    pick: Callable[[RowMapping, Iterable[str]], dict[str, Any]] = lambda source, names: {n: source[n] for n in names}  # noqa: E731
    return {
        "count": row["count"],
        "usage": TokenSum(**pick(row, TokenSum.model_fields)),
        "last": LastRun(**pick(last, LastRun.model_fields)),
    }
