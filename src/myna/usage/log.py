"""What a request cost and how it ended, and who is told. Knows no store and no HTTP."""

from typing import Protocol

from myna.core.ledger import Price, UsageRow


class Prices(Protocol):
    """By model; one without a price costs nothing."""

    def get(self, model: str, /) -> Price | None: ...


class UsageEntry(Protocol):
    """A request that runs, as the ledger sees it. Told before what it counts is sent."""

    def count_prompt(self, prompt_tokens: int, cached_tokens: int) -> None: ...

    def count_completion(self, tokens: int) -> None: ...

    def note_first_token(self, after_ms: int) -> None: ...


class UsageLog(Protocol):
    """Where requests are written down; for the event loop, and never waits."""

    def open(self, row: UsageRow) -> UsageEntry:
        """Before the request may get a token: `row` with what is known of it. Raises `Overloaded` if it can't
        be written down."""
        ...

    def close(self, entry: UsageEntry | None, row: UsageRow) -> None:
        """How it ended, once; without a tab if it never came to tokens."""
        ...


class NoTab:
    """The tab of a request that nobody writes down."""

    def count_prompt(self, prompt_tokens: int, cached_tokens: int) -> None: ...

    def count_completion(self, tokens: int) -> None: ...

    def note_first_token(self, after_ms: int) -> None: ...


class NullUsageLog:
    """The books of a server that keeps no ledger; usage stands in the log's line of a request alone."""

    def open(self, row: UsageRow) -> UsageEntry:
        return NoTab()

    def close(self, entry: UsageEntry | None, row: UsageRow) -> None: ...
