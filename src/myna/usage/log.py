"""The interface through which usage is recorded, and prices. Knows no store and no HTTP."""

from typing import Protocol

from myna.core.ledger import Price, UsageRow


class Prices(Protocol):
    """By model; a model without a price costs nothing."""

    def get(self, model: str, /) -> Price | None: ...


class UsageEntry(Protocol):
    """The usage record of a running request. Tokens are counted here before they are sent to the client."""

    def count_prompt(self, prompt_tokens: int, cached_tokens: int) -> None: ...

    def count_completion(self, tokens: int) -> None: ...

    def note_first_token(self, after_ms: int) -> None: ...


class UsageLog(Protocol):
    """Records requests. Its methods are for the event loop and never block."""

    def open(self, row: UsageRow) -> UsageEntry:
        """Called before the request may produce a token; `row` has what is known so far. Raises `Overloaded`
        if it can't be recorded."""
        ...

    def close(self, entry: UsageEntry | None, row: UsageRow) -> None:
        """Record how the request ended; called once. `entry` is None if it was never opened."""
        ...


class NullUsageEntry:
    """The entry of a request whose usage is not recorded."""

    def count_prompt(self, prompt_tokens: int, cached_tokens: int) -> None: ...

    def count_completion(self, tokens: int) -> None: ...

    def note_first_token(self, after_ms: int) -> None: ...


class NullUsageLog:
    """For a server without a ledger: usage appears only in the access log."""

    def open(self, row: UsageRow) -> UsageEntry:
        return NullUsageEntry()

    def close(self, entry: UsageEntry | None, row: UsageRow) -> None: ...
