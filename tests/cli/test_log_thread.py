"""Log lines that wait for a reader, and those that are lost."""

import logging
from threading import Event

from myna.cli.log_thread import ThreadedLog


class Stuck(logging.Handler):
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go = Event(), Event()
        self.taken: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.began.set()
        assert self.go.wait(60)
        self.taken.append(record.getMessage())


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("myna", logging.INFO, "", 0, text, None, None)


def test_what_fits_waits_and_what_does_not_is_counted() -> None:
    inner = Stuck()
    log = ThreadedLog(inner, most_waiting=2)
    log.handle(record("a"))
    assert inner.began.wait(60)
    for text in "bcde":
        log.handle(record(text))
    inner.go.set()
    log.close()
    assert inner.taken == ["a", "2 lines of the log were lost: nobody read it", "b", "c"]


class Faulty(logging.Handler):
    """Raises for one line, which handlers should not."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "b":
            raise ValueError("a bug")
        self.taken.append(record.getMessage())


def test_a_line_that_can_not_be_written_does_not_end_the_log() -> None:
    inner = Faulty()
    log = ThreadedLog(inner)
    for text in "abc":
        log.handle(record(text))
    log.close()
    assert inner.taken == ["a", "c"]
