"""Stores in memory, lost when the process ends: for tests, and for servers without a database."""

from myna.core.accounts import AccountStore
from myna.core.batches import BatchStore
from myna.core.counters import CounterStore
from myna.core.files import FileStore
from myna.core.ledger import LedgerStore
from myna.core.stored import CompletionStore
from myna.core.stored_responses import BackgroundStore, ConversationStore, ResponseStore
from myna.stores.files_memory import MemoryBatches, MemoryFiles
from myna.stores.ledger_memory import MemoryLedger
from myna.stores.memory import MemoryCompletions
from myna.stores.memory_accounts import MemoryAccounts
from myna.stores.memory_counters import MemoryCounters
from myna.stores.responses_memory import (
    MemoryBackground,
    MemoryConversational,
    MemoryConversations,
    MemoryResponses,
)


class MemoryStores:
    """See `registry.Stores`; each call creates an empty store, but responses and conversations share their
    items, and files and batches their contents."""

    def __init__(self, url: str) -> None:
        """Only the URL's scheme matters."""
        self._conversational = MemoryConversational()
        self._files = MemoryFiles()

    def completions(self) -> CompletionStore:
        return MemoryCompletions()

    def responses(self) -> ResponseStore:
        return MemoryResponses(self._conversational)

    def conversations(self) -> ConversationStore:
        return MemoryConversations(self._conversational)

    def background(self) -> BackgroundStore:
        return MemoryBackground(self._conversational)

    def ledger(self) -> LedgerStore:
        return MemoryLedger()

    def open_usage(self) -> None:
        return None

    def accounts(self) -> AccountStore:
        return MemoryAccounts()

    def counters(self) -> CounterStore:
        return MemoryCounters()

    def files(self) -> FileStore:
        return self._files

    def batches(self) -> BatchStore:
        return MemoryBatches(self._files)
