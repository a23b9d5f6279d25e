"""What a key's requests do with unknown parameters."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("unknown_parameters", sa.String(16)))


def downgrade() -> None:
    op.drop_column("api_keys", "unknown_parameters")
