"""An outage is a line when it begins and a line when it is over."""

import logging

import pytest

from myna.core.outage import Outage


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_outage_is_logged_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    outage = Outage(logging.getLogger("test"), "it is away: %s", "it is back", clock=clock)
    outage.succeeded()
    for reason in ("disk full", "disk full", "still full"):
        outage.failed(reason)
    clock.now += 60
    outage.succeeded()
    outage.succeeded()
    outage.failed("again")
    assert [record.getMessage() for record in caplog.records] == [
        "it is away: disk full",
        "it is back",
        "it is away: again",
    ]


def test_what_works_now_and_then_during_an_outage_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    outage = Outage(logging.getLogger("test"), "locked: %s", "free", clock=clock)
    for _ in range(20):
        outage.failed("a write")
        clock.now += 1
        outage.succeeded()  # a read
    assert len(caplog.records) == 1
