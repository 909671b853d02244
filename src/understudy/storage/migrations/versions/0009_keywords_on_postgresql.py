"""The keyword index on PostgreSQL: a text vector of each chunk's terms. On SQLite it came with 0006."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE chunk_terms (key BIGINT PRIMARY KEY, terms TSVECTOR NOT NULL)")
        op.execute("CREATE INDEX chunk_terms_index ON chunk_terms USING gin (terms)")
