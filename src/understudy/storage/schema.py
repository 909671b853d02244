"""The tables, for SQLite and PostgreSQL alike.

Columns are named as the API names them, so a row is an object with some bookkeeping beside it:
`project` (who may see it), `seq` (its place among its siblings, given under the parent's lock: `created_at`
has whole seconds only) and `deleted` (a tombstone: a cursor that points at it still works).
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

ACTIVE = ("queued", "in_progress", "requires_action", "cancelling")
"""Statuses of a run that hold its thread."""


def _key() -> Column[str]:
    return Column("id", String(64), primary_key=True)


def _number(name: str) -> Column[int]:
    """Return a key that the database counts up; SQLite does so with plain integers only."""
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def _belongs() -> list[Column[str] | Column[int]]:
    return [Column("project", String(64), nullable=False), Column("seq", BigInteger, nullable=False)]


def _created() -> Column[int]:
    return Column("created_at", BigInteger, nullable=False)


def _deleted() -> Column[bool]:
    return Column("deleted", Boolean, nullable=False, default=False)


def _metadata() -> Column[dict[str, str]]:
    return Column("metadata", JSON, nullable=False)


def _json(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, JSON(none_as_null=True), nullable=nullable)


def _moment(name: str) -> Column[int]:
    return Column(name, BigInteger)


projects = Table(
    "projects",
    metadata,
    _key(),
    Column("last_seq", BigInteger, nullable=False, default=0),
)

api_keys = Table(
    "api_keys",
    metadata,
    _key(),
    Column("project", String(64), nullable=False),
    Column("name", Text),
    Column("hash", String(64), nullable=False),  # sha256, in hex: the key itself is never stored
    _created(),
    _moment("last_used_at"),
    _moment("revoked_at"),
    Column("admin", Boolean, nullable=False, default=False),
    Column("requests_per_minute", Integer),
    Column("runs_at_once", Integer),
    Column("tokens_per_day", BigInteger),
    UniqueConstraint("hash", name="api_keys_hash"),
)

daily_tokens = Table(
    "daily_tokens",
    metadata,
    Column("project", String(64), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # since 1970, UTC
    Column("tokens", BigInteger, nullable=False),
)

assistants = Table(
    "assistants",
    metadata,
    _key(),
    *_belongs(),
    _deleted(),
    _created(),
    Column("name", Text),
    Column("description", Text),
    Column("model", Text, nullable=False),
    Column("instructions", Text),
    _json("tools", nullable=False),
    Column("top_p", Float),
    Column("temperature", Float),
    Column("reasoning_effort", String(16)),
    _json("tool_resources", nullable=False),
    _metadata(),
    _json("response_format"),
    UniqueConstraint("project", "seq", name="assistants_order"),
)

threads = Table(
    "threads",
    metadata,
    _key(),
    *_belongs(),
    _deleted(),
    _created(),
    Column("last_seq", BigInteger, nullable=False, default=0),
    _json("tool_resources", nullable=False),
    _metadata(),
    UniqueConstraint("project", "seq", name="threads_order"),
)

messages = Table(
    "messages",
    metadata,
    _key(),
    *_belongs(),
    _deleted(),
    Column("abandoned", Boolean, nullable=False, default=False),
    _created(),
    Column("thread_id", String(64), nullable=False),
    Column("assistant_id", String(64)),
    Column("run_id", String(64)),
    Column("status", String(16), nullable=False),
    _json("incomplete_details"),
    _moment("incomplete_at"),
    _moment("completed_at"),
    Column("role", String(16), nullable=False),
    _json("content", nullable=False),
    _json("attachments", nullable=False),
    _metadata(),
    UniqueConstraint("thread_id", "seq", name="messages_order"),
    Index("messages_of_run", "run_id"),
)

runs = Table(
    "runs",
    metadata,
    _key(),
    *_belongs(),
    _created(),
    Column("thread_id", String(64), nullable=False),
    Column("assistant_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    _moment("started_at"),
    _moment("expires_at"),
    _moment("cancelled_at"),
    _moment("failed_at"),
    _moment("completed_at"),
    _json("required_action"),
    _json("last_error"),
    Column("model", Text, nullable=False),
    Column("instructions", Text),
    _json("tools", nullable=False),
    _json("tool_resources", nullable=False),
    _metadata(),
    Column("temperature", Float),
    Column("top_p", Float),
    Column("reasoning_effort", String(16)),
    Column("max_completion_tokens", Integer),
    Column("max_prompt_tokens", Integer),
    _json("truncation_strategy", nullable=False),
    _json("incomplete_details"),
    _json("usage"),
    _json("response_format"),
    _json("tool_choice"),
    Column("parallel_tool_calls", Boolean),
    # What the engine keeps: who works on the run, up to when, and how often it was begun.
    Column("attempt", Integer, nullable=False, default=0),
    Column("tries", Integer, nullable=False, default=0),
    Column("worker", String(64)),
    Column("lease_until", Float, nullable=False, default=0.0),
    UniqueConstraint("thread_id", "seq", name="runs_order"),
)

_holds_thread = runs.c.status.in_(ACTIVE)
Index(
    "one_active_run_per_thread",
    runs.c.thread_id,
    unique=True,
    sqlite_where=_holds_thread,
    postgresql_where=_holds_thread,
)
Index("active_runs", runs.c.status, runs.c.lease_until, sqlite_where=_holds_thread, postgresql_where=_holds_thread)

steps = Table(
    "steps",
    metadata,
    _key(),
    *_belongs(),
    Column("abandoned", Boolean, nullable=False, default=False),
    _created(),
    Column("run_id", String(64), nullable=False),
    Column("assistant_id", String(64), nullable=False),
    Column("thread_id", String(64), nullable=False),
    Column("type", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    _moment("cancelled_at"),
    _moment("completed_at"),
    _moment("expires_at"),
    _moment("expired_at"),
    _moment("failed_at"),
    _json("last_error"),
    _json("step_details", nullable=False),
    _json("usage"),
    _metadata(),
    UniqueConstraint("thread_id", "seq", name="steps_order"),
    Index("steps_of_run", "run_id"),
)

model_calls = Table(
    "model_calls",
    metadata,
    _key(),
    Column("project", String(64), nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("thread_id", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("first_token_at", Float),
    Column("finished_at", Float),
    Column("finish_reason", String(32)),
    _json("usage"),
    Column("step_id", String(64)),
    Column("instructions", Text),
    _json("message_ids", nullable=False),
    Index("model_calls_of_run", "run_id"),
)

posts = Table(
    "posts",
    metadata,
    _number("id"),
    Column("project", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("body", String(64)),
    Column("tries", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("object", String(32), nullable=False),
    Column("answer", Text, nullable=False),
    Column("thread_id", String(64)),
    Column("place", BigInteger),
    Column("run_id", String(64)),
    Column("attempt", Integer, nullable=False),
    Index("posts_by_fingerprint", "project", "fingerprint"),
    Index("posts_by_age", "expires_at"),
)

_has_key = posts.c.body.is_not(None)
Index(
    "one_post_per_key",
    posts.c.project,
    posts.c.fingerprint,
    unique=True,
    sqlite_where=_has_key,
    postgresql_where=_has_key,
)

# --- the search index: see `storage.search` ----------------------------------------------------------------------

indexed_stores = Table(
    "indexed_stores",
    metadata,
    _number("number"),
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
    _number("key"),
    Column("id", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("vector_store_id", String(64), nullable=False),
    Column("file_id", String(64), nullable=False),
    Column("place", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("page", Integer),
    _json("heading", nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("terms", Text, nullable=False),  # cut by `retrieval.terms`, repetitions included
    Column("script", String(16)),  # as `retrieval.fuse` tells it
    UniqueConstraint("vector_store_id", "file_id", "place", name="chunks_order"),
)

vector_blocks = Table(
    "vector_blocks",
    metadata,
    _number("id"),
    Column("vector_store_id", String(64), nullable=False),
    Column("file_id", String(64), nullable=False),
    Column("embedder", Text, nullable=False),
    Column("chunk_keys", LargeBinary, nullable=False),  # of chunks: little-endian int64
    Column("vectors", LargeBinary, nullable=False),  # one row each: little-endian float32, of length 1
    Index("vector_blocks_of_file", "vector_store_id", "file_id"),
)
