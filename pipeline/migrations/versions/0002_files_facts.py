"""Files tell the statistics with which their cells were filled in and outliers found."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("files", sa.Column("facts", sa.Text(), nullable=True))
