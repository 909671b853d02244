"""Vector stores, their files and batches of files."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    _stores()
    _files()
    op.create_table(
        "file_batches",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("vector_store_id", sa.String(length=64), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("file_batches_of_store", "file_batches", ["vector_store_id"], unique=False)
    op.create_table(
        "file_batch_files",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("file_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "file_id"),
    )


def _stores() -> None:
    op.create_table(
        "vector_stores",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("expires_after", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_active_at", sa.BigInteger(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("emptied", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "seq", name="vector_stores_order"),
    )
    op.create_index(
        "vector_stores_to_empty",
        "vector_stores",
        ["deleted", "expires_at"],
        unique=False,
        sqlite_where=sa.text("emptied = 0"),
        postgresql_where=sa.text("NOT emptied"),
    )


def _files() -> None:
    op.create_table(
        "vector_store_files",
        sa.Column("vector_store_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("usage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("chunking_strategy", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("attributes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.Column("filled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("vector_store_id", "id"),
        sa.UniqueConstraint("vector_store_id", "seq", name="vector_store_files_order"),
    )
    counted = ["vector_store_id", "deleted", "status", "usage_bytes"]
    op.create_index("vector_store_files_counts", "vector_store_files", counted, unique=False)
    op.create_index("vector_stores_of_file", "vector_store_files", ["id"], unique=False)
    op.create_index(
        "vector_store_files_in_progress",
        "vector_store_files",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("status = 'in_progress' AND deleted = 0"),
        postgresql_where=sa.text("status = 'in_progress' AND NOT deleted"),
    )
    op.create_index(
        "vector_store_files_left_over",
        "vector_store_files",
        ["vector_store_id"],
        unique=False,
        sqlite_where=sa.text("filled = 1 AND (deleted = 1 OR status IN ('failed', 'cancelled'))"),
        postgresql_where=sa.text("filled AND (deleted OR status IN ('failed', 'cancelled'))"),
    )
