"""The ledger, one row for every request of a model, whatever ended it; and the seam of its stores."""

from collections.abc import Sequence
from typing import Final, Literal, Protocol, get_args

import msgspec

_NANO_A_MILLION: Final = 1000  # dollars a million tokens to billionths of a dollar a token

Outcome = Literal["completed", "cancelled", "failed", "refused", "lost"]
"""How a request ended: answered whole; its client left, or the server shut down; an error of ours; an error
of its sender's, or no room; the server died under it."""
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

Dimension = Literal["project", "key_id", "model", "user", "service_tier"]
"""What sums can be told apart by; the names are fields of `UsageRow` and of `UsageSum`."""


class UsageRow(msgspec.Struct, frozen=True):
    """One request. `project` owns it: a key that may only read sees no other's.

    `id` is the answer's `x-request-id`. `model` is the one that answers (of an alias, its target; empty if
    none was found), `asked_model` the name that was asked for. `arrived_ms` is Unix time; the other times
    count from there by a clock that never goes back, and `first_token_ms` is None if no token came. The
    counts are never less than what the client got. `error` names the kind of failure; `status` is 0 if no
    answer had begun. `user` is the request's `safety_identifier`, or else its `user`. `cost_nano` is in
    billionths of a dollar.
    """

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
    """Dollars for a million tokens. Cached prompt tokens cost `cached`, the others `prompt`."""

    prompt: float
    cached: float
    completion: float

    def cost_nano(self, row: UsageRow) -> int:
        fresh = row.prompt_tokens - row.cached_tokens
        dollars = (
            fresh * self.prompt + row.cached_tokens * self.cached + row.completion_tokens * self.completion
        )
        return round(dollars * _NANO_A_MILLION)


class UsageFilter(msgspec.Struct, frozen=True):
    """Which rows: those that arrived from `start_s` on and before `end_s`, of any of the projects, any of the
    keys, … named; a field that names none lets all through."""

    start_s: int = 0
    end_s: int = 1 << 40
    projects: Sequence[str] = ()
    key_ids: Sequence[str] = ()
    models: Sequence[str] = ()
    users: Sequence[str] = ()


class UsageSum(msgspec.Struct, frozen=True):
    """What the requests of one span of time add up to. A dimension that wasn't asked for is None.

    `num_failed` counts the outcomes failed and lost, `first_token_ms` adds up over `num_first_tokens`
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
    model: str | None = None
    user: str | None = None
    service_tier: str | None = None


class UsagePage(msgspec.Struct, frozen=True):
    """Some requests, the last written first, and whether more follow."""

    rows: Sequence[UsageRow]
    has_more: bool


class LedgerStore(Protocol):
    """All methods are blocking and thread-safe; call them off the event loop. They raise
    `DatabaseError` while the database can't be reached or written, and then have changed nothing."""

    def add(self, rows: Sequence[UsageRow]) -> None:
        """Keep them. An id that is there already stays as it is, so that adding again does no harm."""
        ...

    def sums(
        self, wanted: UsageFilter, width_s: int, group_by: Sequence[Dimension] = ()
    ) -> Sequence[UsageSum]:
        """Sums over spans of `width_s` seconds that begin at its multiples, in order of time, then of the
        dimensions; spans without requests are left out. With `width_s` 0 all of the time is one span, which
        starts at 0. Rows that were rolled up count in spans of an hour or more."""
        ...

    def page(
        self,
        wanted: UsageFilter,
        *,
        outcomes: Sequence[Outcome] = (),
        after: str | None = None,
        limit: int = 20,
    ) -> UsagePage | None:
        """Rows behind `after` (exclusive), the last written first. None if `after` is no row of the filter's
        projects."""
        ...

    def roll_up(self, before_s: int) -> int:
        """Replace rows that arrived before that time by sums of their hour; how many."""
        ...

    def close(self) -> None: ...
