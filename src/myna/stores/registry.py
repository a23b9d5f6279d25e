"""Stores by the scheme of their URL. Import strings, so that a database is imported when it is chosen."""

from importlib import import_module
from typing import Final

from myna.core.errors import ConfigurationError
from myna.core.stored import CompletionStore

COMPLETION_STORES: Final[dict[str, str]] = {
    "memory": "myna.stores.memory:open_completions",
    "sqlite": "myna.stores.sql:open_completions",
    "postgresql": "myna.stores.sql:open_completions",
}


def open_completions(url: str) -> CompletionStore:
    """The store behind a URL: `memory:`, `sqlite:///path/to/file.db`, `postgresql://user@host/name`.

    Raises `ConfigurationError` for a scheme that we don't know or whose driver isn't installed.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in COMPLETION_STORES:
        known = ", ".join(COMPLETION_STORES)
        raise ConfigurationError(f"There is no store for {scheme!r} URLs; choose one of {known}.")
    module_name, function = COMPLETION_STORES[scheme].split(":")
    try:
        store: CompletionStore = getattr(import_module(module_name), function)(url)
    except ImportError as exc:
        raise ConfigurationError(
            f"The database driver for {scheme!r} is not installed ({exc}). "
            f"Install it with: pip install 'myna[{scheme}]'"
        ) from exc
    return store
