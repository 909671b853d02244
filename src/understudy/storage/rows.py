"""What the queries of all tables share: places in an order, pages, and rows that may be gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, select, tuple_, update

from understudy.errors import NotFound
from understudy.storage.schema import projects

Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Window:
    """Which page of a list is asked for; `after` and `before` are ids of its members."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    before: str | None = None


def insert(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    """Add one row."""
    connection.execute(table.insert(), values)


def allot(connection: Connection, parent: Table, parent_id: str, count: int = 1) -> int:
    """Lock the parent and return the first of `count` places after its last child.

    The lock is held to the end of the transaction, so places are visible in their order.
    """
    statement = update(parent).where(parent.c.id == parent_id).values(last_seq=parent.c.last_seq + count)
    last = connection.execute(statement.returning(parent.c.last_seq)).scalar_one()
    return int(last) - count + 1


def allot_in_project(connection: Connection, project: str, count: int = 1) -> int:
    """Like `allot`, for what belongs to a project directly; the project's row is made at first use."""
    known = connection.execute(select(projects.c.id).where(projects.c.id == project)).first()
    if known is None:
        insert(connection, projects, {"id": project, "last_seq": 0})
    return allot(connection, projects, project, count)


def page(
    connection: Connection,
    table: Table,
    parent: ColumnElement[bool],
    shown: Sequence[ColumnElement[bool]],
    window: Window,
    noun: str,
    order: Sequence[str] = ("seq",),
) -> tuple[list[RowMapping], bool]:
    """Return a page of the parent's children that are shown, and whether there are more behind it.

    `order` are the columns that say which child comes first. Raises NotFound for a cursor that never was a child;
    one that is not shown any more still marks its place.
    """
    conditions = [parent, *shown]
    by = [table.c[name] for name in order]
    here = tuple_(*by) if len(by) > 1 else by[0]
    ascending = window.order == "asc"
    if window.after is not None:
        place = _place(connection, table, parent, window.after, noun, by)
        conditions.append(here > place if ascending else here < place)
    if window.before is not None:
        place = _place(connection, table, parent, window.before, noun, by)
        conditions.append(here < place if ascending else here > place)
    backwards = window.before is not None and window.after is None
    sorting = [column.asc() if ascending != backwards else column.desc() for column in by]
    statement = select(table).where(*conditions).order_by(*sorting).limit(window.limit + 1)
    found = list(connection.execute(statement).mappings())
    rows = found[: window.limit]
    return (rows[::-1] if backwards else rows), len(found) > window.limit


def _place(
    connection: Connection,
    table: Table,
    parent: ColumnElement[bool],
    cursor: str,
    noun: str,
    by: Sequence[ColumnElement[Any]],
) -> Any:
    row = connection.execute(select(*by).where(parent, table.c.id == cursor)).first()
    if row is None:
        raise NotFound(noun, cursor)
    return tuple_(*row) if len(row) > 1 else row[0]
