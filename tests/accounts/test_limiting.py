"""The rules of limits: every gauge or none, the answer reserved, what is not used given back, once."""

import math
import struct
from collections.abc import Mapping, Sequence

import pytest

from myna.accounts.buckets import PERMIT_S, Permits
from myna.accounts.limiting import (
    Attempt,
    Heartbeat,
    Refusal,
    Settlement,
    TokenEstimate,
    counters_of,
    rate_limit_error,
    rate_limit_headers,
)
from myna.core.accounts import Limit
from myna.core.errors import RateLimited, RequestsLimited, TokensLimited

NOW = 1_800_000_000.0
OURS, THEIRS = b"server01", b"server02"


class World:
    """Counters in a dict, and a clock."""

    def __init__(self, *limits: Limit) -> None:
        self.counters = counters_of(limits)
        self.values: dict[str, bytes] = {}
        self.now = NOW

    def attempt(
        self, prompt: int = 10, answer: int = 0, *, is_open: bool = False, server: bytes = OURS
    ) -> Attempt:
        attempt = Attempt(self.counters, TokenEstimate(prompt, answer, is_open), server)
        self.values.update(attempt(self.values, self.now))
        return attempt

    def refusal(self, prompt: int = 10, answer: int = 0) -> Refusal:
        refusal = self.attempt(prompt, answer).refusal
        assert refusal is not None
        return refusal

    def settle(self, attempt: Attempt, used: int, server: bytes = OURS) -> None:
        assert attempt._estimate is not None
        self.values.update(Settlement(attempt, attempt._estimate, used, server)(self.values, self.now))


def _is_in(attempt: Attempt) -> bool:
    assert attempt.has_taken == (attempt.refusal is None)
    return attempt.has_taken


def test_every_gauge_gives_or_none_does() -> None:
    world = World(Limit("key_1", "", requests_per_minute=5), Limit("default", "", tokens_per_minute=100))
    assert _is_in(world.attempt(90))
    before = dict(world.values)
    assert not _is_in(world.attempt(20))
    assert world.values == before, "a refused request takes nothing"
    assert _is_in(world.attempt(10))


def test_the_answer_is_reserved_and_what_it_did_not_use_comes_back_once() -> None:
    world = World(Limit("key_1", "", tokens_per_minute=100))
    first = world.attempt(10, 60)
    assert first.tokens is not None
    assert (first.tokens.limit, first.tokens.remaining) == (100, 30)
    assert not _is_in(world.attempt(10, 60))
    world.settle(first, 15)
    second = world.attempt(10, 60)
    assert _is_in(second)
    assert second.tokens is not None
    assert second.tokens.remaining == 15


def test_what_was_used_beyond_the_reserve_is_owed() -> None:
    world = World(Limit("key_1", "", tokens_per_minute=1000))
    talker = world.attempt(10, 50_000, is_open=True)
    assert talker.tokens is not None
    assert talker.tokens.remaining == 1000 - 10 - 250, "an answer without end reserves a quarter"
    world.settle(talker, 5010)
    refusal = world.refusal(1)
    assert (refusal.used, refusal.requested) == (5010, 1)
    world.now += 60
    assert not _is_in(world.attempt(1))
    world.now += 60 * 4
    assert _is_in(world.attempt(1))


def test_an_answer_without_end_reserves_no_more_than_a_thousand_tokens() -> None:
    assert TokenEstimate(10, 50_000, True).tokens(1_000_000) == 1034
    assert TokenEstimate(10, 500, True).tokens(1_000_000) == 510
    assert TokenEstimate(10, 50_000, False).tokens(1_000_000) == 50_010


def test_what_was_never_taken_is_not_given_back() -> None:
    world = World(Limit("key_1", "", tokens_per_minute=100, concurrent_requests=1))
    assert _is_in(world.attempt(80))
    late = world.attempt(80)
    assert not _is_in(late)
    world.settle(late, 0)
    assert not _is_in(world.attempt(20)), "the seat is still taken"


def test_requests_are_spent_even_if_their_tokens_come_back() -> None:
    world = World(Limit("key_1", "", requests_per_minute=1, tokens_per_minute=100))
    world.settle(world.attempt(50), 0)
    refusal = world.refusal()
    assert refusal.counter.kind == "requests"


def test_a_day_fills_by_the_day() -> None:
    world = World(Limit("key_1", "", tokens_per_day=86_400))
    assert _is_in(world.attempt(86_400))
    world.now += 60
    assert world.refusal(61).wait_s == pytest.approx(1)
    assert _is_in(world.attempt(60))


def test_seats_are_counted_over_servers_and_given_back_by_each() -> None:
    world = World(Limit("default", "tiny", concurrent_requests=2))
    first, second = world.attempt(server=OURS), world.attempt(server=THEIRS)
    assert _is_in(first) and _is_in(second)
    assert not _is_in(world.attempt(server=THEIRS))
    world.settle(second, 0, THEIRS)
    assert _is_in(world.attempt(server=THEIRS))


def test_seats_of_a_killed_server_are_free_after_a_minute_those_of_a_living_one_are_not() -> None:
    world = World(Limit("default", "", concurrent_requests=2))
    world.attempt(server=OURS)
    world.attempt(server=THEIRS)
    world.now += 40
    world.values.update(Heartbeat({world.counters[0].name: 1}, OURS)(world.values, world.now))
    world.now += 40
    assert _is_in(world.attempt(server=OURS))
    assert not _is_in(world.attempt(server=OURS))


def test_a_sign_of_life_changes_no_count_that_is_there_and_restores_one_that_was_lost() -> None:
    world = World(Limit("default", "", concurrent_requests=2))
    world.attempt()
    world.attempt()
    alive = Heartbeat({world.counters[0].name: 1}, OURS)
    world.values.update(alive(world.values, world.now))
    assert not _is_in(world.attempt())
    world.now += 61
    world.values.update(alive(world.values, world.now))
    assert _is_in(world.attempt())
    assert not _is_in(world.attempt())


def test_the_limit_that_keeps_out_longest_is_named() -> None:
    world = World(Limit("key_1", "", requests_per_minute=60), Limit("default", "", requests_per_minute=1))
    world.attempt()
    refusal = world.refusal()
    assert (refusal.counter.owner, refusal.wait_s) == ("default", 60)


def _said(limits: Sequence[Limit], *asked: tuple[int, int]) -> RateLimited:
    world = World(*limits)
    for prompt, answer in asked[:-1]:
        world.attempt(prompt, answer)
    return rate_limit_error(world.refusal(*asked[-1]), "tiny", "myna")


def test_a_refusal_says_what_openai_says() -> None:
    said = _said([Limit("", "", tokens_per_minute=30_000)], (29_937, 0), (300, 85))
    assert isinstance(said, TokensLimited)
    assert str(said) == (
        "Rate limit reached for tiny in organization myna on tokens per min (TPM): Limit 30000, Used 29937, "
        "Requested 385. Please try again in 644ms. "
        "The owner of this server sets the limits; `myna limits` shows them."
    )
    assert said.retry_after_s == pytest.approx(0.644)
    said = _said([Limit("key_1", "", requests_per_minute=3)], *[(1, 0)] * 4)
    assert isinstance(said, RequestsLimited)
    assert str(said).startswith(
        "Rate limit reached for tiny with key key_1 on requests per min (RPM): Limit 3, Used 3, Requested 1. "
        "Please try again in 20s."
    )
    said = _said([Limit("proj_1", "tiny", tokens_per_day=100)], (1, 100))
    assert isinstance(said, TokensLimited)
    assert str(said).startswith(
        "Request too large for tiny in project proj_1 on tokens per day (TPD): Limit 100, Requested 101. "
        "The input or output tokens must be reduced in order to run successfully."
    )
    assert said.retry_after_s is None
    said = _said([Limit("key_1", "", concurrent_requests=1)], (1, 0), (1, 0))
    assert "on concurrent requests: Limit 1, Used 1, Requested 1. Please try again in 1s." in str(said)


def _headers(attempt: Attempt) -> Mapping[str, str]:
    return {name.decode(): value.decode() for name, value in rate_limit_headers(attempt)}


def test_headers_are_of_the_tightest_limit_of_each_kind() -> None:
    world = World(
        Limit("key_1", "", requests_per_minute=600, tokens_per_minute=6000, tokens_per_day=100),
        Limit("default", "", requests_per_minute=10_000),
    )
    assert _headers(world.attempt(40)) == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "60",
        "x-ratelimit-reset-tokens": "9h36m0s",
    }
    assert _headers(World(Limit("key_1", "", concurrent_requests=3)).attempt()) == {}


@pytest.mark.parametrize("amount", ["requests_per_minute", "tokens_per_minute", "tokens_per_day"])
def test_a_clock_that_was_set_back_locks_nobody_out_even_if_it_is_refused_first(amount: str) -> None:
    world = World(Limit("key_1", "", **{amount: 60}))
    world.now = NOW + 86_400  # the machine's clock was a day ahead
    while _is_in(world.attempt(1)):
        pass
    world.now = NOW
    wait_s = world.refusal(1).wait_s
    assert wait_s is not None
    world.now += wait_s / 2
    later_s = world.refusal(1).wait_s
    assert later_s is not None and later_s == pytest.approx(wait_s / 2)
    world.now += later_s
    assert _is_in(world.attempt(1))


def test_a_look_alone_repairs_what_a_clock_that_was_set_back_wrote() -> None:
    world = World(Limit("key_1", "", requests_per_minute=60))
    world.now = NOW + 86_400
    world.attempt()
    world.now = NOW
    look = Attempt(world.counters, None, OURS)
    written = look(world.values, world.now)
    assert list(written) == ["key_1/requests/"]
    assert Attempt(world.counters, None, OURS)({**world.values, **written}, world.now) == {}


def test_seats_of_a_dead_server_are_free_again_after_the_clock_was_set_back() -> None:
    world = World(Limit("key_1", "", concurrent_requests=1))
    world.now = NOW + 86_400
    assert _is_in(world.attempt(server=THEIRS))
    world.now = NOW
    assert not _is_in(world.attempt())
    world.now += PERMIT_S
    assert _is_in(world.attempt())


@pytest.mark.parametrize(
    "value",
    [b"\0\0", b"x" * 7, b"x" * 17, struct.pack("<dd", math.nan, NOW), struct.pack("<dd", 1, math.inf)],
)
def test_what_makes_no_sense_counts_as_new_is_named_and_is_replaced(value: bytes) -> None:
    limits = (
        Limit("key_1", "", requests_per_minute=2, concurrent_requests=2),
        Limit("", "", tokens_per_day=5),
    )
    world = World(*limits)
    world.values = dict.fromkeys((counter.name for counter in world.counters), value)
    refused = world.attempt(100)
    assert refused.refusal is not None and refused.refusal.counter.kind == "day"
    assert set(refused.damaged) == {counter.name for counter in world.counters}
    again = world.attempt(5)
    assert _is_in(again) and again.damaged == ()
    assert _is_in(world.attempt(0))
    assert not _is_in(world.attempt(0)), "both seats are taken"


def test_a_sign_of_life_replaces_what_makes_no_sense() -> None:
    assert Heartbeat({"a": 2}, OURS)({"a": b"junk"}, NOW) == {"a": Permits(((OURS, 2, NOW),)).encode()}
