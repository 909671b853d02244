"""Exact search for the nearest vectors within PostgreSQL, where it has the extension `vector`.

The blocks of `vectors` stay the truth; each of their vectors is a row of `chunk_vectors` beside them, which `understudy
migrate` makes and fills once the extension can be had. Without that table, and for a store that is not whole in it (an
older version has written to it), numpy searches the blocks: both compare every vector, so they find the same.
"""

import logging
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from understudy.little_endian import unpacked
from understudy.storage.search import IndexedStore, VectorIndex

log = logging.getLogger(__name__)

FILLED_AT_ONCE = 64
_MAKE = (
    "CREATE TABLE IF NOT EXISTS chunk_vectors (block BIGINT NOT NULL REFERENCES vector_blocks (id) ON DELETE CASCADE, "
    "key BIGINT NOT NULL, embedding VECTOR NOT NULL, PRIMARY KEY (block, key))",
    "ALTER TABLE chunk_vectors ALTER COLUMN embedding SET STORAGE EXTERNAL",  # they do not compress
    "ALTER TABLE chunk_vectors SET (toast_tuple_target = 8160)",  # up to 2,000 numbers stay in their row
)
_IS_THERE = text("SELECT coalesce(has_table_privilege(to_regclass('chunk_vectors'), 'INSERT'), false)")
_MISSING = "NOT EXISTS (SELECT 1 FROM chunk_vectors WHERE block = vector_blocks.id)"
_TO_FILL = text(f"SELECT id, chunk_keys, vectors FROM vector_blocks WHERE {_MISSING} ORDER BY id LIMIT :limit")  # noqa: S608 - ours
_LACKS = text(
    "SELECT EXISTS (SELECT 1 FROM vector_blocks "  # noqa: S608 - ours
    f"WHERE vector_store_id = :store AND embedder = :embedder AND {_MISSING})"
)
_ADD = text("INSERT INTO chunk_vectors (block, key, embedding) VALUES (:block, :key, CAST(:embedding AS vector))")
_OF_STORE = (
    "SELECT v.key, -(v.embedding <#> CAST(:query AS vector)) AS cosine FROM chunk_vectors v "
    "JOIN vector_blocks ON id = v.block WHERE vector_store_id = :store AND embedder = :embedder"
)
_BEST = " ORDER BY 2 DESC, 1 LIMIT :limit"
_NEAREST = text(_OF_STORE + _BEST)
_NEAREST_IN_FILES = text(_OF_STORE + " AND file_id = ANY(:files)" + _BEST)
_COSINES = text(_OF_STORE + " AND v.key = ANY(:keys)")


class PostgresNearest:
    """A VectorIndex by pgvector, with another for what is not there."""

    def __init__(self, otherwise: VectorIndex) -> None:
        self._otherwise = otherwise
        self._whole: dict[int, tuple[int, str]] = {}

    def find(
        self,
        connection: Connection,
        store: IndexedStore,
        embedder: str,
        queries: Sequence[bytes],
        limit: int,
        files: Collection[str] | None = None,
    ) -> list[dict[int, float]]:
        """See `search.VectorIndex`."""
        if not self._has_all(connection, store, embedder):
            return self._otherwise.find(connection, store, embedder, queries, limit, files)
        given: dict[str, Any] = {"store": store.vector_store_id, "embedder": embedder, "limit": limit}
        if files is not None:
            given["files"] = list(files)
        statement = _NEAREST if files is None else _NEAREST_IN_FILES
        return [_pairs(connection, statement, given | {"query": spelled(query)}) for query in queries]

    def cosines(
        self,
        connection: Connection,
        store: IndexedStore,
        embedder: str,
        queries: Sequence[bytes],
        keys: Collection[int],
    ) -> list[dict[int, float]]:
        """See `search.VectorIndex`."""
        if not self._has_all(connection, store, embedder):
            return self._otherwise.cosines(connection, store, embedder, queries, keys)
        given: dict[str, Any] = {"store": store.vector_store_id, "embedder": embedder, "keys": list(keys)}
        return [_pairs(connection, _COSINES, given | {"query": spelled(query)}) for query in queries]

    def _has_all(self, connection: Connection, store: IndexedStore, embedder: str) -> bool:
        """Tell whether all vectors of a store are rows. That may change with each generation of the store only."""
        if self._whole.get(store.number) == (store.generation, embedder):
            return True
        if not is_there(connection):
            return False
        given = {"store": store.vector_store_id, "embedder": embedder}
        if connection.execute(_LACKS, given).scalar_one():
            return False
        self._whole[store.number] = (store.generation, embedder)
        return True


def is_there(connection: Connection) -> bool:
    """Tell whether this database has rows of vectors."""
    return connection.dialect.name == "postgresql" and bool(connection.execute(_IS_THERE).scalar_one())


def add(connection: Connection, block: int, keys: bytes, vectors: bytes) -> None:
    """Add a block's vectors as rows, if the database has such."""
    if is_there(connection):
        _add(connection, block, keys, vectors)


def fill(connection: Connection, limit: int = FILLED_AT_ONCE) -> int:
    """Add the rows of some blocks that have none yet; return of how many."""
    if not is_there(connection):
        return 0
    found = connection.execute(_TO_FILL, {"limit": limit}).all()
    for block in found:
        _add(connection, block.id, block.chunk_keys, block.vectors)
    return len(found)


def prepare(engine: Engine) -> None:
    """Make the table if the extension can be had, and fill it. Without the rights to have it, all stays as it is."""
    with engine.begin() as connection:
        if not is_there(connection):
            try:
                with connection.begin_nested():
                    connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
            except DBAPIError as problem:
                log.info("vectors are searched by the workers: PostgreSQL has no pgvector: %s", problem.orig)
                return
            for statement in _MAKE:
                connection.exec_driver_sql(statement)
    while True:
        with engine.begin() as connection:
            if not fill(connection):
                return


def spelled(vector: bytes) -> str:
    """Write a vector of little-endian float32 as PostgreSQL reads it; nine digits are exact."""
    return f"[{','.join([f'{number:.9g}' for number in unpacked('f', vector)])}]"


def _add(connection: Connection, block: int, keys: bytes, vectors: bytes) -> None:
    each = unpacked("q", keys)
    size = len(vectors) // len(each)
    rows = [
        {"block": block, "key": key, "embedding": spelled(vectors[place * size : (place + 1) * size])}
        for place, key in enumerate(each)
    ]
    connection.execute(_ADD, rows)


def _pairs(connection: Connection, statement: Any, given: dict[str, Any]) -> dict[int, float]:
    return {row.key: row.cosine for row in connection.execute(statement, given)}
