"""The tables as SQLAlchemy Core sees them today; `migrations/` is how a database gets there."""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table

METADATA: Final = MetaData()

# SQLite counts up by itself only in a column that is exactly INTEGER.
_Serial = BigInteger().with_variant(Integer(), "sqlite")

COMPLETIONS: Final = Table(
    "completions",
    METADATA,
    Column("serial", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("project", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("model", String(256), nullable=False),
    Column("item", LargeBinary, nullable=False),
    Column("messages", LargeBinary, nullable=False),
    Column("replay", LargeBinary, nullable=False),
    Index("completions_by_project", "project", "serial"),
)

COMPLETION_METADATA: Final = Table(
    "completion_metadata",
    METADATA,
    Column("completion_id", ForeignKey("completions.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", String(512), nullable=False),
)
