"""Alembic's entry: run the migrations on the connection that `records` opened."""

from alembic import context

from pipeline.records import schema

context.configure(
    connection=context.config.attributes["connection"], target_metadata=schema, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
