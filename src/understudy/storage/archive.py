"""All rows as lines of JSON, for another database: out of one snapshot, into tables that have none of them yet.

A table is a file: a line for each row, in the order of its key, the columns by their names, bytes in base64.
The index of keywords is left out, being another on each database: it is made anew from the chunks.
"""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Integer, LargeBinary, Table, func, insert, select, tuple_

from understudy.protocol.text import NUL
from understudy.storage.schema import chunks, files, indexed_stores, metadata, upload_parts
from understudy.storage.search import KeywordIndex, Passage

BATCH = 500
_TABLES = {table.name: table for table in (indexed_stores, *metadata.sorted_tables)}
"""In the order in which they are read: the numbers of stores before the chunks, whose keywords need them."""


def write(connection: Connection, folder: Path, told: Callable[[str, int], None]) -> dict[str, int]:
    """Write every table into a folder; return how many rows each has. `told` hears of each table when it is done."""
    counts: dict[str, int] = {}
    for name, table in _TABLES.items():
        counts[name] = _write_table(connection, table, folder / f"{name}.jsonl")
        told(name, counts[name])
    return counts


def _write_table(connection: Connection, table: Table, path: Path) -> int:
    count = 0
    rows = connection.execution_options(yield_per=BATCH).execute(select(table).order_by(*table.primary_key.columns))
    with path.open("w", encoding="utf-8") as file:
        for row in rows.mappings():
            file.write(json.dumps(dict(row), ensure_ascii=False, default=_encoded) + "\n")
            count += 1
    return count


def _encoded(value: object) -> str:
    assert isinstance(value, bytes | memoryview)
    return base64.b64encode(value).decode()


def keys_of_bytes(connection: Connection) -> list[str]:
    """Return under which keys the file store has something that a row owns."""
    owners = (select(files.c.id).where(~files.c.deleted), select(upload_parts.c.id))
    return [key for owner in owners for key in connection.execute(owner).scalars()]


def is_empty(connection: Connection) -> bool:
    """Tell whether there is no row in any table."""
    return all(connection.execute(select(table).limit(1)).first() is None for table in _TABLES.values())


def batches(folder: Path, counts: dict[str, int]) -> Iterator[tuple[str, Sequence[dict[str, Any]]]]:
    """Read an archive's rows, so many at a time, with their table's name. Raises ValueError for unknown tables."""
    if strangers := counts.keys() - _TABLES.keys():
        raise ValueError(f"it has tables that this version does not know: {', '.join(sorted(strangers))}")
    for name in (name for name in _TABLES if name in counts):
        with (folder / f"{name}.jsonl").open(encoding="utf-8") as file:
            while lines := list(islice(file, BATCH)):
                yield name, [json.loads(line) for line in lines]


def read(connection: Connection, name: str, rows: Sequence[dict[str, Any]], keywords: KeywordIndex) -> int:
    """Insert those rows that are not there yet; return how many that were."""
    table = _TABLES[name]
    names = [column.name for column in table.primary_key.columns]
    columns = list(table.primary_key.columns)
    given = [tuple(row[column] for column in names) for row in rows]
    known = {tuple(row) for row in connection.execute(select(*columns).where(tuple_(*columns).in_(given)))}
    fresh = [_storable(table, row) for row, place in zip(rows, given, strict=True) if place not in known]
    if fresh:
        connection.execute(insert(table), fresh)
    if table is chunks:
        _index(connection, fresh, keywords)
    return len(fresh)


def _storable(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """Decode bytes; leave null characters out of texts: SQLite kept them once, PostgreSQL never does."""
    changed: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, str):
            is_bytes = isinstance(table.c[name].type, LargeBinary)
            changed[name] = base64.b64decode(value) if is_bytes else value.replace(NUL, "")
    return row | changed


def _index(connection: Connection, rows: Sequence[dict[str, Any]], keywords: KeywordIndex) -> None:
    query = select(indexed_stores.c.vector_store_id, indexed_stores.c.number)
    numbers: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    for row in rows:
        store = numbers.get(row["vector_store_id"])
        if store is not None:
            keywords.add(connection, store, [Passage(row["key"], row["terms"])])


def count_on(connection: Connection) -> None:
    """Let PostgreSQL number new rows from after those that came with numbers of their own."""
    if connection.dialect.name != "postgresql":
        return
    for table in _TABLES.values():
        keys = list(table.primary_key.columns)
        if len(keys) == 1 and isinstance(keys[0].type, Integer) and keys[0].autoincrement is not False:
            last = connection.execute(select(func.max(keys[0]))).scalar()
            if last is not None:
                sequence = func.pg_get_serial_sequence(table.name, keys[0].name)
                connection.execute(select(func.setval(sequence, last)))
