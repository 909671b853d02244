"""Vectors of passages, kept in blocks: one row holds those of some chunks of one file.

A block is written once and never changed. Rows are little-endian float32, of length 1; keys little-endian int64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from understudy.little_endian import packed
from understudy.storage import pgvector
from understudy.storage.schema import indexed_stores, vector_blocks

CHUNKS_PER_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Block:
    """Where vectors of one file lie; `size` is in bytes."""

    id: int
    file_id: str
    size: int


def add(
    connection: Connection,
    vector_store_id: str,
    file_id: str,
    embedder: str,
    keys: Sequence[int],
    vectors: bytes,
) -> None:
    """Add a block: the vectors of these chunks, in their order."""
    values: dict[str, Any] = {
        "vector_store_id": vector_store_id,
        "file_id": file_id,
        "embedder": embedder,
        "chunk_keys": packed("q", keys),
        "vectors": vectors,
    }
    block = connection.execute(insert(vector_blocks), values).inserted_primary_key
    assert block is not None
    pgvector.add(connection, block[0], values["chunk_keys"], vectors)
    _changed(connection, vector_store_id)


def remove(connection: Connection, vector_store_id: str, file_id: str) -> int:
    """Drop a file's vectors; return how many blocks they were in."""
    mine = (vector_blocks.c.vector_store_id == vector_store_id, vector_blocks.c.file_id == file_id)
    gone = connection.execute(delete(vector_blocks).where(*mine)).rowcount
    if gone:
        _changed(connection, vector_store_id)
    return gone


def blocks(connection: Connection, vector_store_id: str, embedder: str) -> list[Block]:
    """Return where the vectors of a store lie, oldest first. Those of another embedder cannot be compared."""
    mine = (vector_blocks.c.vector_store_id == vector_store_id, vector_blocks.c.embedder == embedder)
    size = func.length(vector_blocks.c.vectors)
    query = select(vector_blocks.c.id, vector_blocks.c.file_id, size).where(*mine).order_by(vector_blocks.c.id)
    return [Block(*row) for row in connection.execute(query)]


def read(connection: Connection, ids: Sequence[int]) -> list[tuple[int, bytes, bytes]]:
    """Return id, keys and vectors of some blocks."""
    query = select(vector_blocks.c.id, vector_blocks.c.chunk_keys, vector_blocks.c.vectors)
    return [(row[0], row[1], row[2]) for row in connection.execute(query.where(vector_blocks.c.id.in_(ids)))]


def _changed(connection: Connection, vector_store_id: str) -> None:
    mine = indexed_stores.c.vector_store_id == vector_store_id
    connection.execute(update(indexed_stores).where(mine).values(generation=indexed_stores.c.generation + 1))
