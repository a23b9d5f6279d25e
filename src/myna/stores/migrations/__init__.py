"""Alembic migrations from every earlier version of the database."""
