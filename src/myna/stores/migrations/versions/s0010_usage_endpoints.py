"""Hourly sums for each endpoint. The existing ones don't know theirs: it is empty."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COUNTS = (
    *("num_requests", "num_completed", "num_cancelled", "num_failed", "num_refused"),
    *("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "cost_nano"),
    *("num_first_tokens", "first_token_ms", "duration_ms"),
)


def upgrade() -> None:
    """The endpoint belongs to the primary key, which SQLite can't change, so a new table replaces the old."""
    new = op.create_table(
        "usage_hours_by_endpoint",
        sa.Column("hour_s", sa.BigInteger, primary_key=True),
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("endpoint", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(256), primary_key=True),
        sa.Column("user", sa.String(128), primary_key=True),
        sa.Column("service_tier", sa.String(16), primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
    )
    before = sa.table("usage_hours", *(sa.column(column.name) for column in new.columns))
    columns = [column.name for column in new.columns]
    kept = [sa.literal("") if name == "endpoint" else before.c[name] for name in columns]
    op.execute(new.insert().from_select(columns, sa.select(*kept)))
    op.drop_table("usage_hours")
    op.rename_table("usage_hours_by_endpoint", "usage_hours")
