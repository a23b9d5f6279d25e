"""The current tables, for SQLAlchemy Core; `migrations/` brings databases up to date."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

METADATA: Final = MetaData()

# SQLite only autoincrements columns whose type is exactly INTEGER.
_Serial = BigInteger().with_variant(Integer(), "sqlite")


def _partial_index(name: str, column: str, *others: str) -> Index:
    """Of the rows where the column is not null."""
    where = text(f"{column} IS NOT NULL")
    return Index(name, column, *others, sqlite_where=where, postgresql_where=where)


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
    Index("completions_by_age", "created"),
)

COMPLETION_METADATA: Final = Table(
    "completion_metadata",
    METADATA,
    Column("completion_id", ForeignKey("completions.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", String(512), nullable=False),
)

# `conversation_serial` is the serial of the conversation's last item before the response, `runner` the server
# that generates an active background response. A deleted response that others continue keeps its row and its
# items; so does a deleted conversation, whose items can still be referred to.
RESPONSES: Final = Table(
    "responses",
    METADATA,
    Column("serial", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("project", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("model", String(256), nullable=False),
    Column("status", String(16), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("previous_id", String(64)),
    Column("conversation_id", String(64)),
    Column("conversation_serial", BigInteger, nullable=False),
    Column("runner", String(64)),
    Column("ended", BigInteger),
    Column("is_deleted", Boolean, nullable=False),
    Index("responses_by_project", "project", "serial"),
    Index("responses_by_age", "created"),
    *(
        _partial_index(f"responses_by_{name}", column)
        for name, column in (
            ("previous", "previous_id"),
            ("conversation", "conversation_id"),
            ("runner", "runner"),
        )
    ),
)

# An item belongs to a response, a conversation or both.
RESPONSE_ITEMS: Final = Table(
    "response_items",
    METADATA,
    Column("serial", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("response_id", String(64)),
    Column("conversation_id", String(64)),
    Column("is_output", Boolean, nullable=False),
    Column("item", LargeBinary, nullable=False),
    Index("response_items_by_id", "project", "id"),
    _partial_index("response_items_by_response", "response_id", "serial"),
    _partial_index("response_items_by_conversation", "conversation_id", "serial"),
)

# Those of background responses, in batches of server-sent events.
RESPONSE_EVENTS: Final = Table(
    "response_events",
    METADATA,
    Column("response_id", String(64), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("events", LargeBinary, nullable=False),
)

# Servers that generate background responses or have locked a conversation; `alive_until` is in Unix time.
RUNNERS: Final = Table(
    "runners",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("alive_until", Float(53), nullable=False),
)

# `locked_by` is the request that uses the conversation, on the server `runner`. `metadata` is a JSON object.
CONVERSATIONS: Final = Table(
    "conversations",
    METADATA,
    Column("serial", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("project", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("metadata", LargeBinary, nullable=False),
    Column("locked_by", String(64)),
    Column("runner", String(64)),
    Column("is_deleted", Boolean, nullable=False),
    Index("conversations_by_project", "project", "serial"),
    Index("conversations_by_age", "updated"),
)

# A request that runs on a server of `RUNNERS`: its row as msgpack, and counts no smaller than what was sent.
OPEN_USAGE: Final = Table(
    "open_usage",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("server", String(64), nullable=False),
    Column("row", LargeBinary, nullable=False),
    *(
        Column(name, BigInteger, nullable=False)
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens")
    ),
    Index("open_usage_by_server", "server"),
)

USAGE: Final = Table(
    "usage",
    METADATA,
    Column("serial", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("project", String(64), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("arrived_ms", BigInteger, nullable=False),
    Column("model", String(256), nullable=False),
    Column("asked_model", String(256), nullable=False),
    Column("is_stream", Boolean, nullable=False),
    Column("service_tier", String(16), nullable=False),
    Column("user", String(128), nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("first_token_ms", BigInteger),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("error", String(64), nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Index("usage_by_time", "arrived_ms"),
    Index("usage_by_project", "project", "serial"),
)

# Rolled-up rows: hourly sums for each combination of dimensions. The endpoint of the oldest is empty.
USAGE_HOURS: Final = Table(
    "usage_hours",
    METADATA,
    Column("hour_s", BigInteger, primary_key=True),
    Column("project", String(64), primary_key=True),
    Column("key_id", String(64), primary_key=True),
    Column("endpoint", String(64), primary_key=True),
    Column("model", String(256), primary_key=True),
    Column("user", String(128), primary_key=True),
    Column("service_tier", String(16), primary_key=True),
    Column("num_requests", BigInteger, nullable=False),
    Column("num_completed", BigInteger, nullable=False),
    Column("num_cancelled", BigInteger, nullable=False),
    Column("num_failed", BigInteger, nullable=False),
    Column("num_refused", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("num_first_tokens", BigInteger, nullable=False),
    Column("first_token_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
)

# One row: the version of the accounts, and the fingerprint of the secret that the keys' digests were made
# with.
ACCOUNT_STATE: Final = Table(
    "account_state",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("fingerprint", String(64), nullable=False),
)

# The contents are in a folder (`stores/file_folder.py`).
FILES: Final = Table(
    "files",
    METADATA,
    Column("serial", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("project", String(64), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("filename", String(256), nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Index("files_by_project", "project", "serial"),
    Index("files_by_expiry", "expires_at"),
)

# One row: the name of the folder of this database's contents.
FILE_FOLDER: Final = Table("file_folder", METADATA, Column("name", String(32), primary_key=True))

BATCHES: Final = Table(
    "batches",
    METADATA,
    Column("serial", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("project", String(64), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("input_file_id", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("output_expires_s", BigInteger, nullable=False),
    Column("metadata", LargeBinary, nullable=False),
    Column("status", String(16), nullable=False),
    Column("model", String(256), nullable=False),
    Column("errors", LargeBinary, nullable=False),
    Column("output_file_id", String(64), nullable=False),
    Column("error_file_id", String(64), nullable=False),
    Column("in_progress_at", BigInteger),
    Column("finalizing_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("failed_at", BigInteger),
    Column("expired_at", BigInteger),
    Column("cancelling_at", BigInteger),
    Column("cancelled_at", BigInteger),
    Column("num_lines", BigInteger, nullable=False),
    Column("num_completed", BigInteger, nullable=False),
    Column("num_failed", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("output_work", String(64), nullable=False),
    Column("error_work", String(64), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("lease_until", Float(53), nullable=False),
    Index("batches_by_project", "project", "serial"),
    Index("batches_by_status", "status"),
)

PROJECTS: Final = Table(
    "projects",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
)

# `scopes` and `models` are JSON lists.
API_KEYS: Final = Table(
    "api_keys",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("project", ForeignKey("projects.id"), nullable=False),
    Column("name", String(256), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("redacted", String(64), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("models", Text),
    Column("expires_at", BigInteger),
    Column("old_digest", String(64)),
    Column("old_expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("unknown_parameters", String(16)),
)

LIMITS: Final = Table(
    "limits",
    METADATA,
    Column("owner", String(64), primary_key=True),
    Column("model", String(256), primary_key=True),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("tokens_per_day", BigInteger),
    Column("concurrent_requests", BigInteger),
    Column("priority_requests_per_minute", BigInteger),
    Column("budget_cents", BigInteger),
)

AUDIT_EVENTS: Final = Table(
    "audit_events",
    METADATA,
    Column("serial", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("effective_at", BigInteger, nullable=False),
    Column("actor_type", String(16), nullable=False),
    Column("actor", String(256), nullable=False),
    Column("address", String(64), nullable=False),
    Column("project", String(64), nullable=False),
    Column("subject", String(256), nullable=False),
    Column("details", LargeBinary, nullable=False),
)

# Rate-limit counters. Losing them in a crash of the machine only makes limits inexact for a minute, so
# PostgreSQL keeps them in an unlogged table, and SQLite in a file that is never synced
# (`stores/counters_file.py`).
COUNTERS: Final = Table(
    "counters",
    MetaData(),
    Column("name", String(512), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
