"""Stores by the scheme of their URL. Import strings, so that a database is imported when it is chosen."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from myna.core.accounts import AccountStore
from myna.core.counters import CounterStore
from myna.core.errors import ConfigurationError
from myna.core.installation import install_command
from myna.core.ledger import LedgerStore
from myna.core.stored import CompletionStore
from myna.core.translatable import N_

COMPLETION_STORES: Final[dict[str, str]] = {
    "memory": "myna.stores.memory:open_completions",
    "sqlite": "myna.stores.sql:open_completions",
    "postgresql": "myna.stores.sql:open_completions",
}
ACCOUNT_STORES: Final[dict[str, str]] = {
    "memory": "myna.stores.memory_accounts:open_accounts",
    "sqlite": "myna.stores.accounts:open_accounts",
    "postgresql": "myna.stores.accounts:open_accounts",
}
COUNTER_STORES: Final[dict[str, str]] = {
    "memory": "myna.stores.memory_counters:open_counters",
    "sqlite": "myna.stores.counters_file:open_counters",
    "postgresql": "myna.stores.counters:open_counters",
}
LEDGER_STORES: Final[dict[str, str]] = {
    "memory": "myna.stores.ledger_memory:open_ledger",
    "sqlite": "myna.stores.ledger_sql:open_ledger",
    "postgresql": "myna.stores.ledger_sql:open_ledger",
}


def open_completions(url: str) -> CompletionStore:
    """The stored completions behind a URL: `memory:`, `sqlite:///path/to/file.db`,
    `postgresql://user@host/name`.

    Raises `ConfigurationError` for a scheme that we don't know or whose driver isn't installed.
    """
    store: CompletionStore = _open(COMPLETION_STORES, url)
    return store


def open_ledger(url: str) -> LedgerStore:
    """The ledger behind the same URLs; raises the same."""
    store: LedgerStore = _open(LEDGER_STORES, url)
    return store


def open_accounts(url: str) -> AccountStore:
    """The same for projects, keys, limits and acts."""
    store: AccountStore = _open(ACCOUNT_STORES, url)
    return store


def open_counters(url: str) -> CounterStore:
    """The same for what limits have counted."""
    store: CounterStore = _open(COUNTER_STORES, url)
    return store


def _open(table: Mapping[str, str], url: str) -> Any:
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in table:
        known = ", ".join(table)
        raise ConfigurationError(
            N_("There is no store for {scheme!r} URLs; choose one of {known}.", scheme=scheme, known=known)
        )
    module_name, function = table[scheme].split(":")
    try:
        return getattr(import_module(module_name), function)(url)
    except ImportError as exc:
        raise ConfigurationError(
            N_(
                "The database driver for {scheme!r} is not installed ({reason}). Install it with: {command}",
                scheme=scheme,
                reason=exc,
                command=install_command(scheme),
            )
        ) from exc
