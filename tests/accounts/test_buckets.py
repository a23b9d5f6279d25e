"""Token buckets: no window ever lets more through than what it holds and what flows in meanwhile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.accounts.buckets import PERMIT_S, Permits, duration, live_permits, refilled

NOW = 1_800_000_000.0


def _run(steps: list[tuple[float, int]], capacity: int, per_s: float) -> list[tuple[float, int]]:
    """(time, amount) of what was admitted; each step is a pause after the previous one, and an amount."""
    value, now, taken = None, NOW, []
    for pause_s, amount in steps:
        now += pause_s
        bucket = refilled(value, capacity, per_s, now)
        if bucket.has(amount):
            bucket = bucket.minus(amount)
            taken.append((now, amount))
        value = bucket.encode()
    return taken


@given(
    steps=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 30)), max_size=80),
    capacity=st.integers(1, 100),
)
def test_no_window_lets_more_through_than_the_limit_and_the_refill(
    steps: list[tuple[float, int]], capacity: int
) -> None:
    per_s = capacity / 60
    taken = _run(steps, capacity, per_s)
    for first in range(len(taken)):
        total = 0
        for at, amount in taken[first:]:
            total += amount
            assert total <= capacity + (at - taken[first][0]) * per_s + 1e-3


def test_of_a_burst_of_61_at_60_a_minute_the_last_alone_is_refused() -> None:
    assert len(_run([(0.0, 1)] * 61, 60, 1.0)) == 60
    assert len(_run([(0.0, 1)] * 60 + [(0.999, 1)], 60, 1.0)) == 60
    assert len(_run([(0.0, 1)] * 60 + [(1.0, 1)], 60, 1.0)) == 61


def test_it_never_holds_more_than_it_may() -> None:
    assert len(_run([(0.0, 1), (1e6, 1), *[(0.0, 1)] * 70], 60, 1.0)) == 61


def test_a_clock_that_goes_back_gives_nothing_and_locks_nobody_out() -> None:
    empty = refilled(None, 60, 1.0, NOW).minus(60).encode()
    assert refilled(empty, 60, 1.0, NOW - 5).level == 0
    assert refilled(empty, 60, 1.0, NOW + 1).level == 1
    far_back = refilled(empty, 60, 1.0, NOW - 86_400)
    assert far_back.level == 0
    assert refilled(far_back.encode(), 60, 1.0, NOW - 86_399).level == 1


def test_a_lower_limit_takes_what_is_too_much_and_what_is_owed_stays_owed() -> None:
    full = refilled(None, 60, 1.0, NOW).encode()
    assert refilled(full, 10, 1.0, NOW).level == 10
    owing = refilled(full, 60, 1.0, NOW).minus(100)
    assert owing.level == -40
    assert owing.wait_s(1, 1.0) == 41
    assert owing.plus(1000, 60).level == 60


def test_seats_of_a_server_that_is_silent_are_free_again() -> None:
    first, second = b"server01", b"server02"
    permits = Permits(()).changed(first, 1, NOW).changed(first, 1, NOW).changed(second, 1, NOW + 30)
    assert permits.num_taken == 3
    assert live_permits(permits.encode(), NOW + 59).num_taken == 3
    assert live_permits(permits.encode(), NOW + PERMIT_S).num_taken == 1
    assert permits.changed(second, -1, NOW).num_taken == 2
    assert permits.changed(b"stranger", -1, NOW).num_taken == 3
    assert live_permits(None, NOW).num_taken == 0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.006, "6ms"),
        (0.0051, "6ms"),
        (0.644, "644ms"),
        (1.0, "1s"),
        (8.64, "8.64s"),
        (59.9999, "1m0s"),
        (72, "1m12s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (86_399.5, "23h59m59.5s"),
    ],
)
def test_times_are_written_as_go_does(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
