"""Stored responses, conversations and their items."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "responses",
        sa.Column("serial", serial, primary_key=True, autoincrement=True),
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
    for name, column in (
        ("previous", "previous_id"),
        ("conversation", "conversation_id"),
        ("runner", "runner"),
    ):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"responses_by_{name}", "responses", [column], sqlite_where=where, postgresql_where=where
        )
    op.create_table(
        "response_items",
        sa.Column("serial", serial, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("response_id", sa.String(64)),
        sa.Column("conversation_id", sa.String(64)),
        sa.Column("is_output", sa.Boolean, nullable=False),
        sa.Column("item", sa.LargeBinary, nullable=False),
    )
    op.create_index("response_items_by_id", "response_items", ["project", "id"])
    for name in ("response", "conversation"):
        where = sa.text(f"{name}_id IS NOT NULL")
        op.create_index(
            f"response_items_by_{name}",
            "response_items",
            [f"{name}_id", "serial"],
            sqlite_where=where,
            postgresql_where=where,
        )
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
    op.create_table(
        "conversations",
        sa.Column("serial", serial, primary_key=True, autoincrement=True),
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
