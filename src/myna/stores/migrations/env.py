"""Run by Alembic: applies the migrations on the connection that `database.upgrade` passes."""

from alembic import context

from myna.stores.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
