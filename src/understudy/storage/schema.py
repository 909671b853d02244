"""The tables, for SQLite and PostgreSQL alike."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from understudy.storage.columns import belongs, created, deleted, json, key, metadata, moment, number, pairs
from understudy.storage.file_tables import (
    chunks,
    file_batch_files,
    file_batches,
    file_uses,
    files,
    indexed_files,
    indexed_stores,
    loose_bytes,
    upload_parts,
    uploads,
    vector_blocks,
    vector_store_files,
    vector_stores,
)

__all__ = [
    "ACTIVE",
    "api_keys",
    "assistants",
    "chunks",
    "daily_tokens",
    "file_batch_files",
    "file_batches",
    "file_uses",
    "files",
    "indexed_files",
    "indexed_stores",
    "loose_bytes",
    "messages",
    "metadata",
    "model_calls",
    "posts",
    "projects",
    "runs",
    "steps",
    "threads",
    "upload_parts",
    "uploads",
    "vector_blocks",
    "vector_store_files",
    "vector_stores",
]

ACTIVE = ("queued", "in_progress", "requires_action", "cancelling")
"""Statuses of a run that hold its thread."""


projects = Table(
    "projects",
    metadata,
    key(),
    Column("last_seq", BigInteger, nullable=False, default=0),
)

api_keys = Table(
    "api_keys",
    metadata,
    key(),
    Column("project", String(64), nullable=False),
    Column("name", Text),
    Column("hash", String(64), nullable=False),  # sha256, in hex: the key itself is never stored
    created(),
    moment("last_used_at"),
    moment("revoked_at"),
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
    key(),
    *belongs(),
    deleted(),
    created(),
    Column("name", Text),
    Column("description", Text),
    Column("model", Text, nullable=False),
    Column("instructions", Text),
    json("tools", nullable=False),
    Column("top_p", Float),
    Column("temperature", Float),
    Column("reasoning_effort", String(16)),
    json("tool_resources", nullable=False),
    pairs(),
    json("response_format"),
    UniqueConstraint("project", "seq", name="assistants_order"),
)

threads = Table(
    "threads",
    metadata,
    key(),
    *belongs(),
    deleted(),
    created(),
    Column("last_seq", BigInteger, nullable=False, default=0),
    json("tool_resources", nullable=False),
    pairs(),
    UniqueConstraint("project", "seq", name="threads_order"),
)

messages = Table(
    "messages",
    metadata,
    key(),
    *belongs(),
    deleted(),
    Column("abandoned", Boolean, nullable=False, default=False),
    created(),
    Column("thread_id", String(64), nullable=False),
    Column("assistant_id", String(64)),
    Column("run_id", String(64)),
    Column("status", String(16), nullable=False),
    json("incomplete_details"),
    moment("incomplete_at"),
    moment("completed_at"),
    Column("role", String(16), nullable=False),
    json("content", nullable=False),
    json("attachments", nullable=False),
    pairs(),
    UniqueConstraint("thread_id", "seq", name="messages_order"),
    Index("messages_of_run", "run_id"),
)

runs = Table(
    "runs",
    metadata,
    key(),
    *belongs(),
    created(),
    Column("thread_id", String(64), nullable=False),
    Column("assistant_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    moment("started_at"),
    moment("expires_at"),
    moment("cancelled_at"),
    moment("failed_at"),
    moment("completed_at"),
    json("required_action"),
    json("last_error"),
    Column("model", Text, nullable=False),
    Column("instructions", Text),
    json("tools", nullable=False),
    json("tool_resources", nullable=False),
    pairs(),
    Column("temperature", Float),
    Column("top_p", Float),
    Column("reasoning_effort", String(16)),
    Column("max_completion_tokens", Integer),
    Column("max_prompt_tokens", Integer),
    json("truncation_strategy", nullable=False),
    json("incomplete_details"),
    json("usage"),
    json("response_format"),
    json("tool_choice"),
    Column("parallel_tool_calls", Boolean),
    Column("include_results", Boolean, nullable=False, default=False, server_default=false()),
    # What the engine keeps: who works on the run, up to when, and how often it was begun.
    Column("attempt", Integer, nullable=False, default=0),
    Column("tries", Integer, nullable=False, default=0),
    Column("worker", String(64)),
    Column("lease_until", Float, nullable=False, default=0.0),
    UniqueConstraint("thread_id", "seq", name="runs_order"),
    Index("runs_of_project", "project", "created_at", "id"),
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
    key(),
    *belongs(),
    Column("abandoned", Boolean, nullable=False, default=False),
    created(),
    Column("run_id", String(64), nullable=False),
    Column("assistant_id", String(64), nullable=False),
    Column("thread_id", String(64), nullable=False),
    Column("type", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    moment("cancelled_at"),
    moment("completed_at"),
    moment("expires_at"),
    moment("expired_at"),
    moment("failed_at"),
    json("last_error"),
    json("step_details", nullable=False),
    json("usage"),
    pairs(),
    UniqueConstraint("thread_id", "seq", name="steps_order"),
    Index("steps_of_run", "run_id"),
)

model_calls = Table(
    "model_calls",
    metadata,
    key(),
    Column("project", String(64), nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("thread_id", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("first_token_at", Float),
    Column("finished_at", Float),
    Column("finish_reason", String(32)),
    json("usage"),
    Column("step_id", String(64)),
    Column("instructions", Text),
    json("message_ids", nullable=False),
    json("built_in"),
    Index("model_calls_of_run", "run_id"),
    Index("model_calls_by_time", "started_at"),
)

posts = Table(
    "posts",
    metadata,
    number("id"),
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
