"""The table of stores by URL scheme. A database driver is imported only when it is chosen."""

from importlib import import_module
from typing import Final, Protocol

from myna.core.accounts import AccountStore
from myna.core.batches import BatchStore
from myna.core.counters import CounterStore
from myna.core.errors import ConfigurationError
from myna.core.files import FileStore
from myna.core.installation import install_command
from myna.core.ledger import LedgerStore, OpenUsageStore
from myna.core.stored import CompletionStore
from myna.core.stored_responses import BackgroundStore, ConversationStore, ResponseStore
from myna.core.translatable import N_

STORES: Final[dict[str, str]] = {
    "memory": "myna.stores.memory_stores:MemoryStores",
    "sqlite": "myna.stores.sql_stores:SqlStores",
    "postgresql": "myna.stores.sql_stores:SqlStores",
}


class Stores(Protocol):
    """The stores of one URL. Each is closed by its user, and their shared connections with them."""

    def completions(self) -> CompletionStore: ...

    def responses(self) -> ResponseStore: ...

    def conversations(self) -> ConversationStore: ...

    def background(self) -> BackgroundStore: ...

    def ledger(self) -> LedgerStore: ...

    def open_usage(self) -> OpenUsageStore | None:
        """None for a database of this machine alone."""
        ...

    def accounts(self) -> AccountStore:
        """Projects, keys, limits and audit events."""
        ...

    def counters(self) -> CounterStore:
        """Rate-limit counters."""
        ...

    def files(self) -> FileStore: ...

    def batches(self) -> BatchStore: ...


def open_stores(url: str) -> Stores:
    """The stores of a URL: `memory:`, `sqlite:///path/to/file.db`, `postgresql://user@host/name`.

    Raises `DatabaseError`, and `ConfigurationError` for a scheme that is unknown or whose driver isn't
    installed."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in STORES:
        known = ", ".join(STORES)
        raise ConfigurationError(
            N_(
                "Unsupported database URL scheme {scheme!r}; choose one of {known}.",
                scheme=scheme,
                known=known,
            )
        )
    module_name, name = STORES[scheme].split(":")
    try:
        stores: Stores = getattr(import_module(module_name), name)(url)
    except ImportError as exc:
        raise ConfigurationError(
            N_(
                "The database driver for {scheme!r} is not installed ({reason}). Install it with: {command}",
                scheme=scheme,
                reason=exc,
                command=install_command(scheme),
            )
        ) from exc
    return stores
