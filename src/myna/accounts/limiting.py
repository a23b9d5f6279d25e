"""The rules of rate limits: what a request takes and gives back. Pure: reads and returns values of a
`core.counters.CounterStore`; time is passed in."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from myna.accounts.buckets import (
    Bucket,
    Permits,
    are_encoded_permits,
    duration,
    is_ahead,
    is_encoded_bucket,
    live_permits,
    refilled,
)
from myna.core.accounts import Limit
from myna.core.errors import QuotaExceeded, RateLimited, RequestsLimited, TokensLimited

Kind = Literal["requests", "tokens", "day", "seats", "priority"]  # stored; "seats" has permits
_WINDOWS_S: Final[Mapping[Kind, float]] = {
    "requests": 60.0,
    "tokens": 60.0,
    "day": 86_400.0,
    "seats": 0.0,
    "priority": 60.0,
}
_NAMES: Final[Mapping[Kind, str]] = {
    "requests": "requests per min (RPM)",
    "tokens": "tokens per min (TPM)",
    "day": "tokens per day (TPD)",
    "seats": "concurrent requests",
    "priority": "priority requests per min",
}
_UNBOUNDED_ANSWER_TOKENS: Final = 1024
_PERMIT_WAIT_S: Final = 1.0
_LEARN_MORE: Final = " The owner of this server sets the limits; `myna limits` shows them."
QUOTA_TEXT: Final = (
    "You exceeded your current quota, please check your plan and billing details. The owner of this "
    "server can raise it with `myna limits`."
)


class TokenEstimate(NamedTuple):
    """The tokens that a request may use: those of its prompts, and the maximum of its answers.
    `is_unbounded`: the client set no maximum."""

    prompt_tokens: int
    answer_tokens: int
    is_unbounded: bool

    def tokens(self, limit: int) -> int:
        """The tokens to reserve from a limit; reserving all of it for an unbounded answer would block all
        others."""
        if not self.is_unbounded:
            return self.prompt_tokens + self.answer_tokens
        return self.prompt_tokens + min(self.answer_tokens, _UNBOUNDED_ANSWER_TOKENS, limit // 4)


@dataclass(frozen=True, slots=True)
class LimitCounter:
    """The counter of one number of a limit. `name` is its key in the store."""

    name: str
    kind: Kind
    limit: int
    owner: str

    @property
    def per_s(self) -> float:
        return self.limit / _WINDOWS_S[self.kind]

    def amount(self, estimate: TokenEstimate) -> int:
        return estimate.tokens(self.limit) if self.kind in ("tokens", "day") else 1


def counters_of(limits: Sequence[Limit]) -> tuple[LimitCounter, ...]:
    return tuple(counter for limit in limits for counter in _counters_of_limit(limit))


def priority_counters_of(limits: Sequence[Limit]) -> tuple[LimitCounter, ...]:
    """The counters that decide whether a request is still served at the priority tier."""
    return tuple(
        LimitCounter(f"{limit.owner}/priority/{limit.model}", "priority", number, limit.owner)
        for limit in limits
        if (number := limit.priority_requests_per_minute) is not None
    )


def _counters_of_limit(limit: Limit) -> Iterator[LimitCounter]:
    numbers: tuple[tuple[Kind, int | None], ...] = (
        ("requests", limit.requests_per_minute),
        ("tokens", limit.tokens_per_minute),
        ("day", limit.tokens_per_day),
        ("seats", limit.concurrent_requests),
    )
    for kind, number in numbers:
        if number is not None:
            yield LimitCounter(f"{limit.owner}/{kind}/{limit.model}", kind, number, limit.owner)


class Refusal(NamedTuple):
    """A counter that doesn't admit the request. `wait_s` None: it never will, since the request exceeds the
    limit."""

    counter: LimitCounter
    used: int
    requested: int
    wait_s: float | None


class LimitStatus(NamedTuple):
    """The state of the tightest limit of a kind; `reset_s` is the time until it is fully refilled."""

    limit: int
    remaining: int
    reset_s: float


class Attempt:
    """A change of counters: takes from all counters, or from none and sets `refusal`. Without an estimate it
    only reads. Damaged values, and values from a clock that was set back, are always replaced.

    The attributes have the outcome of the last call.
    """

    def __init__(
        self, counters: Sequence[LimitCounter], estimate: TokenEstimate | None, server: bytes
    ) -> None:
        self.counters = counters
        self._estimate = estimate
        self._server = server
        self.refusal: Refusal | None = None
        self.requests: LimitStatus | None = None
        self.tokens: LimitStatus | None = None
        self.has_taken = False
        self.damaged: tuple[str, ...] = ()
        """Names of counters with invalid values, which are treated as new."""

    def __call__(self, values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        buckets, permits = _read(self.counters, values, now)
        estimate = self._estimate
        if estimate is not None:
            refusals = [*_bucket_refusals(buckets, estimate), *_permit_refusals(permits)]
            self.refusal = max(refusals, key=_wait_of) if refusals else None
            self.has_taken = not refusals
            if self.has_taken:
                buckets = {
                    counter: bucket.minus(counter.amount(estimate)) for counter, bucket in buckets.items()
                }
                permits = {counter: taken.changed(self._server, 1, now) for counter, taken in permits.items()}
        self.requests = _tightest(buckets, ("requests",))
        self.tokens = _tightest(buckets, ("tokens", "day"))
        self.damaged = tuple(counter.name for counter in self.counters if _is_damaged(counter, values))
        states: dict[LimitCounter, Bucket | Permits] = {**buckets, **permits}
        if not self.has_taken:
            states = {
                counter: state for counter, state in states.items() if _needs_repair(counter, values, now)
            }
        return _encoded(states)


class Settlement:
    """A change of counters: gives back what an attempt took and the request did not use, and its permits."""

    def __init__(self, attempt: Attempt, estimate: TokenEstimate, used_tokens: int, server: bytes) -> None:
        self._attempt = attempt
        self._estimate = estimate
        self._used_tokens = used_tokens
        self._server = server

    def __call__(self, values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        if not self._attempt.has_taken:
            return {}
        buckets, permits = _read(self._attempt.counters, values, now)
        settled = {
            counter: bucket.plus(counter.amount(self._estimate) - self._used_tokens, counter.limit)
            for counter, bucket in buckets.items()
            if counter.kind != "requests"
        }
        left = {counter: taken.changed(self._server, -1, now) for counter, taken in permits.items()}
        return _encoded({**settled, **left})


class Heartbeat:
    """A change of counters: renews this server's permits. `counts` restores those that were lost; for others
    it is ignored, since it may be out of date."""

    def __init__(self, counts: Mapping[str, int], server: bytes) -> None:
        self._counts = counts
        self._server = server

    def __call__(self, values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        written = {}
        for name, count in self._counts.items():
            permits = live_permits(values.get(name), now)
            is_known = any(server == self._server for server, _, _ in permits.servers)
            written[name] = permits.changed(self._server, 0 if is_known else count, now).encode()
        return written


def rate_limit_error(refusal: Refusal, model: str, organization: str) -> RateLimited:
    """The error with OpenAI's text, including whose limit it is."""
    counter = refusal.counter
    where = f"for {model} {_scope_of(counter.owner, organization)} on {_NAMES[counter.kind]}"
    kind = TokensLimited if counter.kind in ("tokens", "day") else RequestsLimited
    if refusal.wait_s is None:
        return kind(
            f"Request too large {where}: Limit {counter.limit}, Requested {refusal.requested}. "
            f"The input or output tokens must be reduced in order to run successfully.{_LEARN_MORE}"
        )
    return kind(
        f"Rate limit reached {where}: Limit {counter.limit}, Used {refusal.used}, "
        f"Requested {refusal.requested}. Please try again in {duration(refusal.wait_s)}.{_LEARN_MORE}",
        retry_after_s=refusal.wait_s,
    )


def quota_error() -> RateLimited:
    return QuotaExceeded(QUOTA_TEXT, code="insufficient_quota")


def rate_limit_headers(attempt: Attempt) -> list[tuple[bytes, bytes]]:
    """The `x-ratelimit-*` headers of the kinds that are limited."""
    headers = []
    for kind, status in ((b"requests", attempt.requests), (b"tokens", attempt.tokens)):
        if status is not None:
            headers += [
                (b"x-ratelimit-limit-" + kind, b"%d" % status.limit),
                (b"x-ratelimit-remaining-" + kind, b"%d" % status.remaining),
                (b"x-ratelimit-reset-" + kind, duration(status.reset_s).encode()),
            ]
    return headers


def anthropic_rate_limit_headers(attempt: Attempt, now: datetime) -> list[tuple[bytes, bytes]]:
    """The same in Anthropic's names, with the times at which the limits are full again."""
    headers = []
    for kind, status in ((b"requests", attempt.requests), (b"tokens", attempt.tokens)):
        if status is not None:
            name = b"anthropic-ratelimit-" + kind
            resets = (now + timedelta(seconds=status.reset_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
            headers += [
                (name + b"-limit", b"%d" % status.limit),
                (name + b"-remaining", b"%d" % status.remaining),
                (name + b"-reset", resets.encode()),
            ]
    return headers


def _scope_of(owner: str, organization: str) -> str:
    if owner.startswith("key_"):
        return f"with key {owner}"
    return f"in project {owner}" if owner else f"in organization {organization}"


def _bucket_refusals(buckets: Mapping[LimitCounter, Bucket], estimate: TokenEstimate) -> Iterator[Refusal]:
    for counter, bucket in buckets.items():
        amount = counter.amount(estimate)
        if not bucket.has(amount):
            wait_s = None if amount > counter.limit else bucket.wait_s(amount, counter.per_s)
            yield Refusal(counter, math.ceil(counter.limit - bucket.level - 1e-6), amount, wait_s)


def _permit_refusals(permits: Mapping[LimitCounter, Permits]) -> Iterator[Refusal]:
    for counter, taken in permits.items():
        if taken.num_taken >= counter.limit:
            yield Refusal(counter, taken.num_taken, 1, _PERMIT_WAIT_S)


def _wait_of(refusal: Refusal) -> float:
    return float("inf") if refusal.wait_s is None else refusal.wait_s


def _read(
    counters: Sequence[LimitCounter], values: Mapping[str, bytes], now: float
) -> tuple[dict[LimitCounter, Bucket], dict[LimitCounter, Permits]]:
    buckets = {
        counter: refilled(values.get(counter.name), counter.limit, counter.per_s, now)
        for counter in counters
        if counter.kind != "seats"
    }
    permits = {
        counter: live_permits(values.get(counter.name), now)
        for counter in counters
        if counter.kind == "seats"
    }
    return buckets, permits


def _is_damaged(counter: LimitCounter, values: Mapping[str, bytes]) -> bool:
    value = values.get(counter.name, b"")
    return value != b"" and not (
        are_encoded_permits(value) if counter.kind == "seats" else is_encoded_bucket(value)
    )


def _needs_repair(counter: LimitCounter, values: Mapping[str, bytes], now: float) -> bool:
    return _is_damaged(counter, values) or is_ahead(values.get(counter.name, b""), now)


def _encoded(states: Mapping[LimitCounter, Bucket | Permits]) -> dict[str, bytes]:
    return {counter.name: state.encode() for counter, state in states.items()}


def _tightest(buckets: Mapping[LimitCounter, Bucket], kinds: Sequence[Kind]) -> LimitStatus | None:
    statuses = [
        LimitStatus(
            counter.limit,
            max(0, int(bucket.level + 1e-6)),
            bucket.wait_s(counter.limit, counter.per_s),
        )
        for counter, bucket in buckets.items()
        if counter.kind in kinds
    ]
    return min(statuses, key=lambda status: status.remaining, default=None)
