"""Stored completions by age, to delete the old ones."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("completions_by_age", "completions", ["created"])
