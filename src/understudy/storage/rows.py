"""What the queries of all tables share: places in an order, pages, and rows that may be gone.

Statements that every request or run needs are made once, with `given` in the place of values: to make one and to find
its compiled form takes three times as long as to execute it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Insert,
    RowMapping,
    Table,
    UpdateBase,
    bindparam,
    select,
    tuple_,
    update,
)

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

    @property
    def is_first(self) -> bool:
        """Tell whether the page begins where the list does."""
        return self.after is None and self.before is None


def given(column: Column[Any]) -> ColumnElement[bool]:
    """The condition that a column has the value which is given as `given_<column>` when the statement is executed."""
    return column == bindparam(f"given_{column.name}", type_=column.type)


def insert(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    """Add one row."""
    connection.execute(_insert(table), values)


@cache
def _insert(table: Table) -> Insert:
    return table.insert()


def allot(connection: Connection, parent: Table, parent_id: str, count: int = 1) -> int:
    """Lock the parent and return the first of `count` places after its last child.

    The lock is held to the end of the transaction, so places are visible in their order.
    """
    last = connection.execute(_allot(parent), {"given_id": parent_id, "count": count}).scalar_one()
    return int(last) - count + 1


@cache
def _allot(parent: Table) -> UpdateBase:
    statement = update(parent).where(given(parent.c.id)).values(last_seq=parent.c.last_seq + bindparam("count"))
    return statement.returning(parent.c.last_seq)


def allot_in_project(connection: Connection, project: str, count: int = 1) -> int:
    """Like `allot`, for what belongs to a project directly; the project's row is made at first use."""
    place = connection.execute(_allot(projects), {"given_id": project, "count": count}).scalar()
    if place is None:
        insert(connection, projects, {"id": project, "last_seq": 0})
        return allot(connection, projects, project, count)
    return int(place) - count + 1


def lock_project(connection: Connection, project: str) -> None:
    """Keep others who lock the project from changing anything until this transaction ends: for limits on sums."""
    allot_in_project(connection, project, 0)


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
