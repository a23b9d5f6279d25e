"""The limit of the priority tier."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("limits", sa.Column("priority_requests_per_minute", sa.BigInteger))
