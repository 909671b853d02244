"""Whether a run's events show the passages that searches found."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("runs", sa.Column("include_results", sa.Boolean(), nullable=False, server_default=sa.false()))
