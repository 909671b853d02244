"""Columns that tables share.

Columns are named as the API names them, so a row is an object with some bookkeeping beside it: `project` (who may see
it), `seq` (its place among its siblings, given under the parent's lock: `created_at` has whole seconds only) and
`deleted` (a tombstone: a cursor that points at it still works).
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, MetaData, String

metadata = MetaData()


def key() -> Column[str]:
    return Column("id", String(64), primary_key=True)


def number(name: str) -> Column[int]:
    """Return a key that the database counts up; SQLite does so with plain integers only."""
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def belongs() -> list[Column[str] | Column[int]]:
    return [Column("project", String(64), nullable=False), Column("seq", BigInteger, nullable=False)]


def created() -> Column[int]:
    return Column("created_at", BigInteger, nullable=False)


def deleted() -> Column[bool]:
    return Column("deleted", Boolean, nullable=False, default=False)


def pairs() -> Column[dict[str, str]]:
    return Column("metadata", JSON, nullable=False)


def json(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, JSON(none_as_null=True), nullable=nullable)


def moment(name: str) -> Column[int]:
    return Column(name, BigInteger)
