"""The interface through which usage is recorded, and prices. Knows no store and no HTTP."""

from typing import Final, Protocol

from myna.core.ledger import Price, UsageRow

ALL: Final = 1 << 62
"""More tokens than any answer has."""
COVER_AHEAD: Final = 32
"""How many tokens before the last covered one the next are requested, so that nothing waits for them."""


class Prices(Protocol):
    """By model; a model without a price costs nothing."""

    def get(self, model: str, /) -> Price | None: ...


class UsageEntry(Protocol):
    """The usage record of a running request. Tokens are counted here before they are sent to the client.

    More tokens than `covered` must be covered before they are passed on. `is_whole`: what the request used is
    covered once, at its end."""

    @property
    def covered(self) -> int: ...

    @property
    def is_whole(self) -> bool: ...

    async def cover(self, tokens: int) -> None:
        """Wait until that number of tokens is recorded where other machines find them."""
        ...

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

    covered = ALL
    is_whole = False

    async def cover(self, tokens: int) -> None: ...

    def count_prompt(self, prompt_tokens: int, cached_tokens: int) -> None: ...

    def count_completion(self, tokens: int) -> None: ...

    def note_first_token(self, after_ms: int) -> None: ...


class NullUsageLog:
    """For a server without a ledger: usage appears only in the access log."""

    def open(self, row: UsageRow) -> UsageEntry:
        return NullUsageEntry()

    def close(self, entry: UsageEntry | None, row: UsageRow) -> None: ...
