"""The stores of one SQLite file or PostgreSQL database, which share a single `Database`."""

from pathlib import Path

from myna.core.accounts import AccountStore
from myna.core.batches import BatchStore
from myna.core.counters import CounterStore
from myna.core.files import FileStore
from myna.core.ledger import LedgerStore
from myna.core.stored import CompletionStore
from myna.core.stored_responses import BackgroundStore, ConversationStore, ResponseStore
from myna.stores.accounts import SqlAccounts
from myna.stores.background_sql import SqlBackground
from myna.stores.batches_sql import SqlBatches
from myna.stores.conversations_sql import SqlConversations
from myna.stores.counters import SqlCounters
from myna.stores.counters_file import FileCounters
from myna.stores.database import TimeLimits, open_database
from myna.stores.files_sql import SqlFiles
from myna.stores.ledger_sql import SqlLedger
from myna.stores.open_usage_sql import SqlOpenUsage
from myna.stores.responses_sql import SqlResponses
from myna.stores.sql import SqlCompletions


class SqlStores:
    """See `registry.Stores`. Raises `DatabaseError`."""

    def __init__(self, url: str, limits: TimeLimits | None = None) -> None:
        self._database = open_database(url, limits)

    def completions(self) -> CompletionStore:
        return SqlCompletions(self._database)

    def responses(self) -> ResponseStore:
        return SqlResponses(self._database)

    def conversations(self) -> ConversationStore:
        return SqlConversations(self._database)

    def background(self) -> BackgroundStore:
        return SqlBackground(self._database)

    def ledger(self) -> LedgerStore:
        return SqlLedger(self._database)

    def open_usage(self) -> SqlOpenUsage | None:
        if self._database.engine.dialect.name != "postgresql":
            return None
        return SqlOpenUsage(self._database)

    def accounts(self) -> AccountStore:
        return SqlAccounts(self._database)

    def counters(self) -> CounterStore:
        """For SQLite, in a file next to the database."""
        engine = self._database.engine
        if engine.dialect.name == "sqlite":
            return FileCounters(Path(f"{engine.url.database}-limits"))
        return SqlCounters(self._database)

    def files(self) -> FileStore:
        return SqlFiles(self._database)

    def batches(self) -> BatchStore:
        return SqlBatches(self._database)
