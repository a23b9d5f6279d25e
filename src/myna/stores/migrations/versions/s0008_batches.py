"""Files and batches."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "files",
        sa.Column("serial", serial, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("filename", sa.String(256), nullable=False),
        sa.Column("num_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
    )
    op.create_index("files_by_project", "files", ["project", "serial"])
    op.create_index("files_by_expiry", "files", ["expires_at"])
    folder = op.create_table("file_folder", sa.Column("name", sa.String(32), primary_key=True))
    op.bulk_insert(folder, [{"name": secrets.token_hex(8)}])
    _create_batches(serial)


def _create_batches(serial: sa.types.TypeEngine[int]) -> None:
    counts = ("num_lines", "num_completed", "num_failed")
    tokens = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    times = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    op.create_table(
        "batches",
        sa.Column("serial", serial, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("input_file_id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("output_expires_s", sa.BigInteger, nullable=False),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("errors", sa.LargeBinary, nullable=False),
        sa.Column("output_file_id", sa.String(64), nullable=False),
        sa.Column("error_file_id", sa.String(64), nullable=False),
        *(sa.Column(f"{name}_at", sa.BigInteger) for name in times),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in (*counts, *tokens)),
        sa.Column("output_work", sa.String(64), nullable=False),
        sa.Column("error_work", sa.String(64), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.Float(53), nullable=False),
    )
    op.create_index("batches_by_project", "batches", ["project", "serial"])
    op.create_index("batches_by_status", "batches", ["status"])


def downgrade() -> None:
    for table in ("batches", "file_folder", "files"):
        op.drop_table(table)
