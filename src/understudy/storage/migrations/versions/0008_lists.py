"""Indexes for the lists of all runs and for usage over time."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("runs_of_project", "runs", ["project", "created_at", "id"], unique=False)
    op.create_index("model_calls_by_time", "model_calls", ["started_at"], unique=False)
