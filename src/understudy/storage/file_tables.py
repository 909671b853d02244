"""The tables of files, vector stores and the search index. `schema` has them all."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from understudy.storage.columns import belongs, created, deleted, json, key, metadata, moment, number, pairs

files = Table(
    "files",
    metadata,
    key(),  # its bytes lie in the file store under this
    *belongs(),
    deleted(),
    created(),
    Column("filename", Text, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    moment("expires_at"),
    UniqueConstraint("project", "seq", name="files_order"),
    Index("files_by_expiry", "expires_at"),
)

file_uses = Table(
    "file_uses",
    metadata,
    Column("file_id", String(64), primary_key=True),
    Column("owner_id", String(64), primary_key=True),  # an assistant or a thread, whose code interpreter has the file
    Index("file_uses_by_owner", "owner_id"),
)

uploads = Table(
    "uploads",
    metadata,
    key(),
    Column("project", String(64), nullable=False),
    created(),
    Column("filename", Text, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("mime_type", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("file_life_s", BigInteger),  # how long after its creation the file is to vanish
    Column("file_id", String(64)),
    Index("uploads_by_expiry", "status", "expires_at"),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    key(),  # its bytes lie in the file store under this
    Column("upload_id", String(64), nullable=False),
    created(),
    Column("bytes", BigInteger, nullable=False),
    Index("parts_of_upload", "upload_id"),
)

loose_bytes = Table(
    "loose_bytes",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("until", Float, nullable=False),
    Index("loose_bytes_by_age", "until"),
)
"""Bytes in the file store that no row owns: not yet, or not any more. Past `until` they are removed."""

vector_stores = Table(
    "vector_stores",
    metadata,
    key(),
    *belongs(),
    deleted(),
    created(),
    Column("last_seq", BigInteger, nullable=False, default=0),
    Column("name", Text),
    Column("description", Text),
    json("expires_after"),
    moment("expires_at"),
    Column("last_active_at", BigInteger, nullable=False),
    pairs(),
    Column("emptied", Boolean, nullable=False, default=False),  # its passages are gone: it was deleted or has expired
    UniqueConstraint("project", "seq", name="vector_stores_order"),
)

_may_be_full = ~vector_stores.c.emptied
Index(
    "vector_stores_to_empty",
    vector_stores.c.deleted,
    vector_stores.c.expires_at,
    sqlite_where=_may_be_full,
    postgresql_where=_may_be_full,
)

vector_store_files = Table(
    "vector_store_files",
    metadata,
    Column("vector_store_id", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),  # the file's own
    *belongs(),
    deleted(),
    created(),
    Column("status", String(16), nullable=False),
    Column("usage_bytes", BigInteger, nullable=False, default=0),
    json("last_error"),
    json("chunking_strategy", nullable=False),
    json("attributes", nullable=False),
    # What ingestion keeps: who works on the file, up to when, how often it was begun, and if it may have passages.
    Column("attempt", Integer, nullable=False, default=0),
    Column("tries", Integer, nullable=False, default=0),
    Column("worker", String(64)),
    Column("lease_until", Float, nullable=False, default=0.0),
    Column("filled", Boolean, nullable=False, default=False),
    UniqueConstraint("vector_store_id", "seq", name="vector_store_files_order"),
    Index("vector_store_files_counts", "vector_store_id", "deleted", "status", "usage_bytes"),
    Index("vector_stores_of_file", "id"),
)

_in_progress = (vector_store_files.c.status == "in_progress") & ~vector_store_files.c.deleted
Index(
    "vector_store_files_in_progress",
    vector_store_files.c.lease_until,
    sqlite_where=_in_progress,
    postgresql_where=_in_progress,
)
_left_over = vector_store_files.c.filled & (
    vector_store_files.c.deleted | vector_store_files.c.status.in_(("failed", "cancelled"))
)
Index(
    "vector_store_files_left_over",
    vector_store_files.c.vector_store_id,
    sqlite_where=_left_over,
    postgresql_where=_left_over,
)

file_batches = Table(
    "file_batches",
    metadata,
    key(),
    Column("project", String(64), nullable=False),
    created(),
    Column("vector_store_id", String(64), nullable=False),
    moment("cancelled_at"),
    Index("file_batches_of_store", "vector_store_id"),
)

file_batch_files = Table(
    "file_batch_files",
    metadata,
    Column("batch_id", String(64), primary_key=True),
    Column("file_id", String(64), primary_key=True),
)

# --- the search index: see `storage.search` ----------------------------------------------------------------------

indexed_stores = Table(
    "indexed_stores",
    metadata,
    number("number"),
    Column("vector_store_id", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("chunks", BigInteger, nullable=False, default=0),
    Column("terms", BigInteger, nullable=False, default=0),  # of all its chunks together, repetitions included
    Column("generation", BigInteger, nullable=False, default=0),  # grows with every change of its vectors
    UniqueConstraint("vector_store_id", name="indexed_stores_id"),
)

indexed_files = Table(
    "indexed_files",
    metadata,
    Column("vector_store_id", String(64), primary_key=True),
    Column("file_id", String(64), primary_key=True),
    Column("project", String(64), nullable=False),
    Column("terms_version", Integer, nullable=False),
    Column("embedder", Text),  # whose vectors it has; null until it has all of them
)

chunks = Table(
    "chunks",
    metadata,
    number("key"),
    Column("id", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("vector_store_id", String(64), nullable=False),
    Column("file_id", String(64), nullable=False),
    Column("place", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("page", Integer),
    json("heading", nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("terms", Text, nullable=False),  # cut by `retrieval.terms`, repetitions included
    Column("script", String(16)),  # as `retrieval.fuse` tells it
    UniqueConstraint("vector_store_id", "file_id", "place", name="chunks_order"),
)

vector_blocks = Table(
    "vector_blocks",
    metadata,
    number("id"),
    Column("vector_store_id", String(64), nullable=False),
    Column("file_id", String(64), nullable=False),
    Column("embedder", Text, nullable=False),
    Column("chunk_keys", LargeBinary, nullable=False),  # of chunks: little-endian int64
    Column("vectors", LargeBinary, nullable=False),  # one row each: little-endian float32, of length 1
    Index("vector_blocks_of_file", "vector_store_id", "file_id"),
)
