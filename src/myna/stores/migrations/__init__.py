"""Alembic's scripts: how a database of any earlier version becomes today's."""
