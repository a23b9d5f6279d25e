"""When a worker counts as hung: what is heard, tick by tick, to a verdict."""

from collections.abc import Callable

import pytest

from myna.workers.watchdog import ProcessUsage, ProgressLimits, Watchdog

PATIENCE = ProgressLimits(tick_s=1.0, silent=10, stuck=30, loading=180, busy=6)


def idle() -> ProcessUsage:
    return ProcessUsage()


def computing() -> Callable[[], ProcessUsage]:
    """A process that uses a tenth of a core."""
    ticks = iter(range(1_000_000))
    return lambda: ProcessUsage(cpu_s=next(ticks) * 0.1)


def reading() -> Callable[[], ProcessUsage]:
    """A process that computes nothing and reads from a slow disk."""
    ticks = iter(range(1_000_000))
    return lambda: ProcessUsage(read_bytes=next(ticks) * 100_000)


def working(is_loaded: bool = True) -> Watchdog:
    watchdog = Watchdog(PATIENCE)
    watchdog.on_pong(1)
    if is_loaded:
        watchdog.on_loaded()
    return watchdog


def ticks_until_verdict(
    watchdog: Watchdog, look: Callable[[], ProcessUsage], hear: Callable[[], None] = lambda: None
) -> tuple[int, str]:
    for tick in range(1, 2000):
        hear()
        if verdict := watchdog.tick(look):
            return tick, verdict
    return 0, ""


@pytest.mark.parametrize(
    ("look", "ticks"),
    [
        (idle, 11),
        (lambda: ProcessUsage(is_stopped=True), 11),
        (computing(), 51),
        (lambda: ProcessUsage(is_waiting=True), 56),
    ],
)
def test_silence_ends_it_later_while_it_computes_or_is_starved(
    look: Callable[[], ProcessUsage], ticks: int
) -> None:
    assert ticks_until_verdict(working(), look)[0] == ticks


def test_a_loop_that_hangs_ends_it_though_the_process_answers() -> None:
    watchdog = working()
    assert ticks_until_verdict(watchdog, idle, lambda: watchdog.on_pong(1)) == (31, "it hung while running")


def test_a_long_step_is_given_time_and_stays_ready() -> None:
    watchdog, look = working(), computing()
    for _ in range(60):
        watchdog.on_pong(1)
        assert not watchdog.tick(look)
    assert not watchdog.is_answering  # a minute in one step
    watchdog.on_pong(2)
    assert watchdog.is_answering


def test_it_lives_for_ever_while_its_loop_turns() -> None:
    watchdog = working()
    num_turns = iter(range(10_000))
    assert ticks_until_verdict(watchdog, idle, lambda: watchdog.on_pong(next(num_turns))) == (0, "")


def test_a_load_may_take_as_long_as_it_reads() -> None:
    watchdog = working(is_loaded=False)
    assert ticks_until_verdict(watchdog, reading(), lambda: watchdog.on_pong(0)) == (0, "")


def test_a_load_that_hangs_ends() -> None:
    watchdog = working(is_loaded=False)
    ticks, verdict = ticks_until_verdict(watchdog, idle, lambda: watchdog.on_pong(0))
    assert (ticks, verdict) == (181, "loading made no progress")


def test_a_process_that_has_not_answered_yet_is_starting() -> None:
    assert ticks_until_verdict(Watchdog(PATIENCE), idle)[0] == 181
    assert ticks_until_verdict(Watchdog(PATIENCE), lambda: ProcessUsage(is_stopped=True)) == (
        11,
        "it was stopped",
    )


def test_three_missed_answers_make_it_unready_and_one_answer_ready() -> None:
    watchdog = working()
    for _ in range(4):
        watchdog.tick(idle)
    assert not watchdog.is_answering
    watchdog.on_pong(2)
    assert watchdog.is_answering


@pytest.mark.parametrize("usage", [computing, lambda: lambda: ProcessUsage(is_waiting=True)])
def test_a_loop_that_does_not_turn_is_noticed_within_seconds_whatever_the_process_does(
    usage: Callable[[], Callable[[], ProcessUsage]],
) -> None:
    """It answers pings, so it is killed much later."""
    watchdog, measure = working(), usage()
    for _ in range(PATIENCE.unnoticed):
        watchdog.on_pong(1)
        assert not watchdog.tick(measure)
    assert watchdog.is_answering
    watchdog.on_pong(1)
    assert not watchdog.tick(measure)
    assert not watchdog.is_answering
    watchdog.on_pong(2)
    assert watchdog.is_answering
