"""Stores that forget everything when the process ends: for tests, and for those who want no file."""

from myna.core.accounts import AccountStore
from myna.core.counters import CounterStore
from myna.core.ledger import LedgerStore
from myna.core.stored import CompletionStore
from myna.stores.ledger_memory import MemoryLedger
from myna.stores.memory import MemoryCompletions
from myna.stores.memory_accounts import MemoryAccounts
from myna.stores.memory_counters import MemoryCounters


class MemoryStores:
    """See `registry.Stores`; each call makes an empty store."""

    def __init__(self, url: str) -> None:
        """The URL says nothing more than its scheme."""

    def completions(self) -> CompletionStore:
        return MemoryCompletions()

    def ledger(self) -> LedgerStore:
        return MemoryLedger()

    def accounts(self) -> AccountStore:
        return MemoryAccounts()

    def counters(self) -> CounterStore:
        return MemoryCounters()
