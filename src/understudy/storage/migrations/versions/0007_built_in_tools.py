"""What runs with built-in tools need: whether passages are shown, and how the model was told of the tools."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("runs", sa.Column("include_results", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("model_calls", sa.Column("built_in", sa.JSON(none_as_null=True), nullable=True))
