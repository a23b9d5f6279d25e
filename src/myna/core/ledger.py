"""The usage ledger: one row per request to a model, however it ended; and the interface of its stores."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, get_args

import msgspec

_NANO_PER_MILLION: Final = 1000  # dollars per million tokens to billionths of a dollar per token

Outcome = Literal["completed", "cancelled", "failed", "refused", "lost"]
"""How a request ended: answered completely; the client disconnected or the server shut down; a server error;
a client error or no capacity; the server crashed."""
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

Dimension = Literal["project", "key_id", "endpoint", "model", "user", "service_tier"]
"""What sums can be grouped by; the names are fields of `UsageRow` and `UsageSum`."""


BATCH_TIER: Final = "batch"
"""The service tier of requests of batches."""
EMBEDDINGS: Final = "embeddings"
"""The endpoint of requests for embeddings."""


class UsageRow(msgspec.Struct, frozen=True):
    """One request. It belongs to `project`: read-only keys only see their own project's rows.

    `id` is the response's `x-request-id`. `model` is the one that answered (an alias's target; empty if none
    was found), `asked_model` the requested name. `arrived_ms` is Unix time; the other times are relative to
    it, by a monotonic clock, and `first_token_ms` is None if there was no token. Counts are never less than
    what the client got; those of a batch's line without an answer are 0. `error` names the kind of failure;
    `status` is 0 if no response had begun. `user` is the request's `safety_identifier`, or else its `user`.
    `cost_nano` is in billionths of a dollar."""

    id: str
    project: str
    key_id: str
    endpoint: str
    arrived_ms: int
    model: str = ""
    asked_model: str = ""
    is_stream: bool = False
    service_tier: str = ""
    user: str = ""
    duration_ms: int = 0
    first_token_ms: int | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    outcome: Outcome = "completed"
    status: int = 0
    error: str = ""
    cost_nano: int = 0


class Price(msgspec.Struct, frozen=True):
    """Dollars per million tokens. Cached prompt tokens cost `cached`, the others `prompt`."""

    prompt: float
    cached: float
    completion: float

    def cost_nano(self, row: UsageRow) -> int:
        fresh = row.prompt_tokens - row.cached_tokens
        dollars = (
            fresh * self.prompt + row.cached_tokens * self.cached + row.completion_tokens * self.completion
        )
        return round(dollars * _NANO_PER_MILLION)


class UsageFilter(msgspec.Struct, frozen=True):
    """Selects rows that arrived from `start_s` on and before `end_s`, of any of the given projects, any of
    the given keys, …; an empty field selects all."""

    start_s: int = 0
    end_s: int = 1 << 40
    projects: Sequence[str] = ()
    key_ids: Sequence[str] = ()
    models: Sequence[str] = ()
    users: Sequence[str] = ()


class UsageSum(msgspec.Struct, frozen=True):
    """Totals of the requests in one time span. A dimension that wasn't grouped by is None; the endpoint of
    requests that an earlier version rolled up is empty.

    `num_failed` counts the outcomes failed and lost; `first_token_ms` is the total over `num_first_tokens`
    requests, `duration_ms` over the completed ones.
    """

    start_s: int
    num_requests: int
    num_completed: int
    num_cancelled: int
    num_failed: int
    num_refused: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost_nano: int
    num_first_tokens: int
    first_token_ms: int
    duration_ms: int
    project: str | None = None
    key_id: str | None = None
    endpoint: str | None = None
    model: str | None = None
    user: str | None = None
    service_tier: str | None = None


class UsagePage(msgspec.Struct, frozen=True):
    """Some requests, most recently written first, and whether more follow."""

    rows: Sequence[UsageRow]
    has_more: bool


class OpenUsageStore(Protocol):
    """The usage of running requests, where all servers on the database can read it. All methods are blocking
    and thread-safe; if the database can't be reached or written, they raise `DatabaseError`."""

    def write(
        self, server: str, lease_s: float, opened: Sequence[UsageRow], counted: Sequence[UsageRow]
    ) -> None:
        """Say that the server is alive for so long, store its new rows, and update the counts of others that
        have not been closed."""
        ...

    def close_expired(self, priced: Callable[[UsageRow], UsageRow]) -> int:
        """Move some rows of servers that are no longer alive to the ledger, as `lost`; returns how many."""
        ...

    def close(self) -> None: ...


class LedgerStore(Protocol):
    """All methods are blocking and thread-safe; call them off the event loop. If the
    database can't be reached or written, they raise `DatabaseError` and change nothing."""

    def add(self, rows: Sequence[UsageRow]) -> None:
        """Store the rows. Existing ids are left unchanged, so that adding rows again is harmless; but the
        end of a request replaces its row if that says `lost`, and a later attempt that of an earlier one."""
        ...

    def sums(
        self, wanted: UsageFilter, width_s: int, group_by: Sequence[Dimension] = ()
    ) -> Sequence[UsageSum]:
        """Sums over spans of `width_s` seconds that begin at multiples of it, ordered by time, then by the
        dimensions; spans without requests are left out. With `width_s` 0 there is a single span, which starts
        at 0. Rolled-up rows only count in spans of an hour or more."""
        ...

    def page(
        self,
        wanted: UsageFilter,
        *,
        outcomes: Sequence[Outcome] = (),
        after: str | None = None,
        limit: int = 20,
    ) -> UsagePage | None:
        """Rows after `after` (exclusive), most recently written first. None if the filter's projects have no
        row `after`."""
        ...

    def roll_up(self, before_s: int) -> int:
        """Replace rows that arrived before that time by hourly sums; returns how many."""
        ...

    def close(self) -> None: ...
