"""The search index: chunks of files, their terms and their vectors."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _passages()
    op.create_table(
        "indexed_stores",
        _number("number"),
        sa.Column("vector_store_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("terms", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("vector_store_id", name="indexed_stores_id"),
    )
    op.create_table(
        "indexed_files",
        sa.Column("vector_store_id", sa.String(length=64), nullable=False),
        sa.Column("file_id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("terms_version", sa.Integer(), nullable=False),
        sa.Column("embedder", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("vector_store_id", "file_id"),
    )
    if op.get_bind().dialect.name == "sqlite":
        # The terms are cut already: all that is left to do is to split at spaces. Their text stays in `chunks`.
        op.execute(
            """CREATE VIRTUAL TABLE chunk_terms USING fts5(terms, content='', tokenize="ascii tokenchars '_'")"""
        )


def _passages() -> None:
    op.create_table(
        "chunks",
        _number("key"),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("vector_store_id", sa.String(length=64), nullable=False),
        sa.Column("file_id", sa.String(length=64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("heading", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("script", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("vector_store_id", "file_id", "place", name="chunks_order"),
    )
    op.create_table(
        "vector_blocks",
        _number("id"),
        sa.Column("vector_store_id", sa.String(length=64), nullable=False),
        sa.Column("file_id", sa.String(length=64), nullable=False),
        sa.Column("embedder", sa.Text(), nullable=False),
        sa.Column("chunk_keys", sa.LargeBinary(), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("vector_blocks_of_file", "vector_blocks", ["vector_store_id", "file_id"], unique=False)


def _number(name: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)
