"""The first schema: runs, files, scores, verdicts, decisions, releases, timings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("run", NUMBER, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("yes", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "files",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("run", NUMBER, nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("rows", NUMBER, nullable=False),
        sa.Column("labelled", NUMBER, nullable=False),
        sa.Column("duplicates", NUMBER, nullable=False),
        sa.Column("formatting_changes", NUMBER, nullable=False),
        sa.Column("imputed", NUMBER, nullable=False),
        sa.Column("outliers", NUMBER, nullable=False),
        sa.Column("rejected_rows", NUMBER, nullable=False),
        sa.Column("output", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_files_sha256"), "files", ["sha256"], unique=False)
    op.create_table(
        "releases",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("run", NUMBER, nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("window", sa.String(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("replaced", sa.String(), nullable=True),
        sa.Column("learnt_upto", NUMBER, nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id"),
    )
    op.create_table(
        "runs",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("started", sa.String(), nullable=False),
        sa.Column("finished", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("facts", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "scores",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("run", NUMBER, nullable=False),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("first_file", NUMBER, nullable=False),
        sa.Column("last_file", NUMBER, nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("rows", NUMBER, nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("release", "batch", "metric"),
    )
    op.create_table(
        "timings",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("run", NUMBER, nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("run", NUMBER, nullable=False),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("batch", sa.String(), nullable=False),
        sa.Column("test", sa.String(), nullable=False),
        sa.Column("feature", sa.String(), nullable=True),
        sa.Column("statistic", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("drifted", sa.Boolean(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
