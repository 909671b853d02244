"""Bytes in the file store that no row owns: those of a file that is still coming, and those of one that is gone.

A row is written before the first byte, and taken away in the transaction that makes the file; it comes back in the
transaction that deletes the file. So whatever a crash leaves in the file store is named here, and removed in time.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update

from understudy.storage.rows import insert
from understudy.storage.schema import loose_bytes


def add(connection: Connection, keys: Sequence[str], until: float) -> None:
    """Note bytes that are nobody's; they may be removed from `until` on."""
    for key in keys:
        insert(connection, loose_bytes, {"key": key, "until": until})


def own(connection: Connection, key: str) -> bool:
    """Take bytes for a row that is being made; False if they were loose for too long and may be gone."""
    return connection.execute(delete(loose_bytes).where(loose_bytes.c.key == key)).rowcount == 1


def due(connection: Connection, now: float, count: int) -> list[str]:
    """Return keys of bytes that are to be removed."""
    late = select(loose_bytes.c.key).where(loose_bytes.c.until <= now).order_by(loose_bytes.c.until).limit(count)
    return list(connection.execute(late).scalars())


def forget(connection: Connection, keys: Sequence[str]) -> None:
    """Note that bytes are removed."""
    connection.execute(delete(loose_bytes).where(loose_bytes.c.key.in_(keys)))


def give_up(connection: Connection, now: float) -> int:
    """Make all of them due: whoever was sending is gone. Only for a server that is alone on its database."""
    return connection.execute(update(loose_bytes).where(loose_bytes.c.until > now).values(until=now)).rowcount
