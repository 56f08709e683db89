"""Scores keep the state of the alarm on the release's loss."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("scores", sa.Column("state", sa.Text(), nullable=True))
