"""Whether a request may run under its limits, and what is taken and given back. Pure: the counts come in and
go out as the values of a `core.counters.CounterStore`, and time with them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from myna.accounts.buckets import (
    Bucket,
    Seats,
    are_seats,
    duration,
    filled,
    is_ahead,
    is_bucket,
    seated,
)
from myna.core.accounts import Limit
from myna.core.errors import QuotaExceeded, RateLimited, RequestsLimited, TokensLimited

Kind = Literal["requests", "tokens", "day", "seats"]
_WINDOWS_S: Final[Mapping[Kind, float]] = {"requests": 60.0, "tokens": 60.0, "day": 86_400.0, "seats": 0.0}
_NAMES: Final[Mapping[Kind, str]] = {
    "requests": "requests per min (RPM)",
    "tokens": "tokens per min (TPM)",
    "day": "tokens per day (TPD)",
    "seats": "concurrent requests",
}
_OPEN_ANSWER_TOKENS: Final = 1024
_SEAT_WAIT_S: Final = 1.0
_LEARN_MORE: Final = " Visit https://platform.openai.com/account/rate-limits to learn more."
QUOTA_TEXT: Final = (
    "You exceeded your current quota, please check your plan and billing details. For more information on "
    "this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)


class Cost(NamedTuple):
    """What a request may come to: its prompts, and its answers at their longest. `is_open`: it named no
    longest itself."""

    prompt_tokens: int
    answer_tokens: int
    is_open: bool

    def tokens(self, limit: int) -> int:
        """What is reserved of a limit: the whole of it for an answer without end would let nobody else in."""
        if not self.is_open:
            return self.prompt_tokens + self.answer_tokens
        return self.prompt_tokens + min(self.answer_tokens, _OPEN_ANSWER_TOKENS, limit // 4)


@dataclass(frozen=True, slots=True)
class Gauge:
    """One number of one limit. `name` is that of its counter."""

    name: str
    kind: Kind
    limit: int
    owner: str

    @property
    def per_s(self) -> float:
        return self.limit / _WINDOWS_S[self.kind]

    def amount(self, cost: Cost) -> int:
        return cost.tokens(self.limit) if self.kind in ("tokens", "day") else 1


def gauges_of(limits: Sequence[Limit]) -> tuple[Gauge, ...]:
    return tuple(gauge for limit in limits for gauge in _gauges(limit))


def _gauges(limit: Limit) -> Iterator[Gauge]:
    numbers: tuple[tuple[Kind, int | None], ...] = (
        ("requests", limit.requests_per_minute),
        ("tokens", limit.tokens_per_minute),
        ("day", limit.tokens_per_day),
        ("seats", limit.concurrent_requests),
    )
    for kind, number in numbers:
        if number is not None:
            yield Gauge(f"{limit.owner}/{kind}/{limit.model}", kind, number, limit.owner)


class Refusal(NamedTuple):
    """The gauge that has no room. `wait_s` None: it never will, for so large a request."""

    gauge: Gauge
    used: int
    requested: int
    wait_s: float | None


class Standing(NamedTuple):
    """What is left of the tightest limit of a kind, and how long until all of it is back."""

    limit: int
    remaining: int
    reset_s: float


class Attempt:
    """A change of counters: takes from every gauge, or from none and says which has no room. Without a cost
    it only looks. Values that are damaged, or that a clock wrote before it was set back, are always replaced.

    Read the outcome afterwards; it is that of the last call.
    """

    def __init__(self, gauges: Sequence[Gauge], cost: Cost | None, server: bytes) -> None:
        self.gauges = gauges
        self._cost = cost
        self._server = server
        self.refusal: Refusal | None = None
        self.requests: Standing | None = None
        self.tokens: Standing | None = None
        self.has_taken = False
        self.damaged: tuple[str, ...] = ()
        """Names of counters whose value nobody can have written; they count as new."""

    def __call__(self, values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        buckets, seats = _read(self.gauges, values, now)
        cost = self._cost
        if cost is not None:
            refusals = [*_short(buckets, cost), *_full(seats)]
            self.refusal = max(refusals, key=_longest) if refusals else None
            self.has_taken = not refusals
            if self.has_taken:
                buckets = {gauge: bucket.less(gauge.amount(cost)) for gauge, bucket in buckets.items()}
                seats = {gauge: taken.changed(self._server, 1, now) for gauge, taken in seats.items()}
        self.requests = _tightest(buckets, ("requests",))
        self.tokens = _tightest(buckets, ("tokens", "day"))
        self.damaged = tuple(gauge.name for gauge in self.gauges if _is_damaged(gauge, values))
        states: dict[Gauge, Bucket | Seats] = {**buckets, **seats}
        if not self.has_taken:
            states = {gauge: state for gauge, state in states.items() if _needs_repair(gauge, values, now)}
        return _encoded(states)


class Settlement:
    """A change of counters: gives back what an attempt took beyond what was used, and its seats."""

    def __init__(self, attempt: Attempt, cost: Cost, used_tokens: int, server: bytes) -> None:
        self._attempt = attempt
        self._cost = cost
        self._used_tokens = used_tokens
        self._server = server

    def __call__(self, values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        if not self._attempt.has_taken:
            return {}
        buckets, seats = _read(self._attempt.gauges, values, now)
        settled = {
            gauge: bucket.more(gauge.amount(self._cost) - self._used_tokens, gauge.limit)
            for gauge, bucket in buckets.items()
            if gauge.kind != "requests"
        }
        left = {gauge: taken.changed(self._server, -1, now) for gauge, taken in seats.items()}
        return _encoded({**settled, **left})


class SignOfLife:
    """A change of counters: this server lives, and so its seats are still taken. `counts` are put in where
    they were lost; where they are not, they may already be out of date."""

    def __init__(self, counts: Mapping[str, int], server: bytes) -> None:
        self._counts = counts
        self._server = server

    def __call__(self, values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        written = {}
        for name, count in self._counts.items():
            seats = seated(values.get(name), now)
            is_known = any(server == self._server for server, _, _ in seats.servers)
            written[name] = seats.changed(self._server, 0 if is_known else count, now).encode()
        return written


def refused(refusal: Refusal, model: str, organization: str) -> RateLimited:
    """What OpenAI says, and whose limit it is."""
    gauge = refusal.gauge
    where = f"for {model} {_whose(gauge.owner, organization)} on {_NAMES[gauge.kind]}"
    kind = TokensLimited if gauge.kind in ("tokens", "day") else RequestsLimited
    if refusal.wait_s is None:
        return kind(
            f"Request too large {where}: Limit {gauge.limit}, Requested {refusal.requested}. "
            f"The input or output tokens must be reduced in order to run successfully.{_LEARN_MORE}"
        )
    return kind(
        f"Rate limit reached {where}: Limit {gauge.limit}, Used {refusal.used}, "
        f"Requested {refusal.requested}. Please try again in {duration(refusal.wait_s)}.{_LEARN_MORE}",
        retry_after_s=refusal.wait_s,
    )


def quota_exceeded() -> RateLimited:
    return QuotaExceeded(QUOTA_TEXT, code="insufficient_quota")


def headers_of(attempt: Attempt) -> list[tuple[bytes, bytes]]:
    """`x-ratelimit-*`, of the kinds that are limited."""
    headers = []
    for kind, standing in ((b"requests", attempt.requests), (b"tokens", attempt.tokens)):
        if standing is not None:
            headers += [
                (b"x-ratelimit-limit-" + kind, b"%d" % standing.limit),
                (b"x-ratelimit-remaining-" + kind, b"%d" % standing.remaining),
                (b"x-ratelimit-reset-" + kind, duration(standing.reset_s).encode()),
            ]
    return headers


def _whose(owner: str, organization: str) -> str:
    if owner.startswith("key_"):
        return f"with key {owner}"
    return f"in project {owner}" if owner else f"in organization {organization}"


def _short(buckets: Mapping[Gauge, Bucket], cost: Cost) -> Iterator[Refusal]:
    for gauge, bucket in buckets.items():
        amount = gauge.amount(cost)
        if not bucket.can_give(amount):
            wait_s = None if amount > gauge.limit else bucket.wait_s(amount, gauge.per_s)
            yield Refusal(gauge, math.ceil(gauge.limit - bucket.level - 1e-6), amount, wait_s)


def _full(seats: Mapping[Gauge, Seats]) -> Iterator[Refusal]:
    for gauge, taken in seats.items():
        if taken.num_taken >= gauge.limit:
            yield Refusal(gauge, taken.num_taken, 1, _SEAT_WAIT_S)


def _longest(refusal: Refusal) -> float:
    return float("inf") if refusal.wait_s is None else refusal.wait_s


def _read(
    gauges: Sequence[Gauge], values: Mapping[str, bytes], now: float
) -> tuple[dict[Gauge, Bucket], dict[Gauge, Seats]]:
    buckets = {
        gauge: filled(values.get(gauge.name), gauge.limit, gauge.per_s, now)
        for gauge in gauges
        if gauge.kind != "seats"
    }
    seats = {gauge: seated(values.get(gauge.name), now) for gauge in gauges if gauge.kind == "seats"}
    return buckets, seats


def _is_damaged(gauge: Gauge, values: Mapping[str, bytes]) -> bool:
    value = values.get(gauge.name, b"")
    return value != b"" and not (are_seats(value) if gauge.kind == "seats" else is_bucket(value))


def _needs_repair(gauge: Gauge, values: Mapping[str, bytes], now: float) -> bool:
    return _is_damaged(gauge, values) or is_ahead(values.get(gauge.name, b""), now)


def _encoded(states: Mapping[Gauge, Bucket | Seats]) -> dict[str, bytes]:
    return {gauge.name: state.encode() for gauge, state in states.items()}


def _tightest(buckets: Mapping[Gauge, Bucket], kinds: Sequence[Kind]) -> Standing | None:
    standings = [
        Standing(
            gauge.limit,
            max(0, int(bucket.level + 1e-6)),
            bucket.wait_s(gauge.limit, gauge.per_s),
        )
        for gauge, bucket in buckets.items()
        if gauge.kind in kinds
    ]
    return min(standings, key=lambda standing: standing.remaining, default=None)
