"""Stored responses, conversations and their items."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_responses()
    _create_conversations()
    _create_runners()


def _serial() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("serial", kind, primary_key=True, autoincrement=True)


def _create_partial_index(name: str, table: str, columns: list[str]) -> None:
    """Of the rows where the first column is not null."""
    where = sa.text(f"{columns[0]} IS NOT NULL")
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _create_responses() -> None:
    op.create_table(
        "responses",
        _serial(),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("previous_id", sa.String(64)),
        sa.Column("conversation_id", sa.String(64)),
        sa.Column("conversation_serial", sa.BigInteger, nullable=False),
        sa.Column("runner", sa.String(64)),
        sa.Column("ended", sa.BigInteger),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
    )
    op.create_index("responses_by_project", "responses", ["project", "serial"])
    op.create_index("responses_by_age", "responses", ["created"])
    _create_partial_index("responses_by_previous", "responses", ["previous_id"])
    _create_partial_index("responses_by_conversation", "responses", ["conversation_id"])
    _create_partial_index("responses_by_runner", "responses", ["runner"])
    op.create_table(
        "response_items",
        _serial(),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("response_id", sa.String(64)),
        sa.Column("conversation_id", sa.String(64)),
        sa.Column("is_output", sa.Boolean, nullable=False),
        sa.Column("item", sa.LargeBinary, nullable=False),
    )
    op.create_index("response_items_by_id", "response_items", ["project", "id"])
    _create_partial_index("response_items_by_response", "response_items", ["response_id", "serial"])
    _create_partial_index("response_items_by_conversation", "response_items", ["conversation_id", "serial"])


def _create_runners() -> None:
    op.create_table(
        "response_events",
        sa.Column("response_id", sa.String(64), primary_key=True),
        sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("events", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "runners",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("alive_until", sa.Float(53), nullable=False),
    )


def _create_conversations() -> None:
    op.create_table(
        "conversations",
        _serial(),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
        sa.Column("locked_by", sa.String(64)),
        sa.Column("runner", sa.String(64)),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
    )
    op.create_index("conversations_by_project", "conversations", ["project", "serial"])
    op.create_index("conversations_by_age", "conversations", ["updated"])
