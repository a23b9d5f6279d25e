"""The keyboard during an answer: Ctrl-C ends it, other keys are not echoed and go to the next prompt."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

try:
    import termios
except ImportError:  # not a POSIX system: keys are echoed there
    termios = None  # type: ignore[assignment]

_BRACKETED: Final = "\x1b[?2004h"
_NOT_BRACKETED: Final = "\x1b[?2004l"
_INPUT: Final = 0  # places in what tcgetattr returns
_LOCAL: Final = 3


@dataclass(slots=True)
class StopKey:
    """Ctrl-C raises only in a `breaking` block; elsewhere it is remembered, so that redraws finish."""

    is_pressed: bool = False
    _breaks: bool = False

    def press(self, number: int, frame: FrameType | None) -> None:
        self.is_pressed = True
        if self._breaks:
            raise KeyboardInterrupt

    @contextmanager
    def breaking(self) -> Iterator[None]:
        if self.is_pressed:
            raise KeyboardInterrupt
        self._breaks = True
        try:
            yield
        finally:
            self._breaks = False


@contextmanager
def stop_key() -> Iterator[StopKey]:
    key = StopKey()
    before = signal.signal(signal.SIGINT, key.press)
    try:
        with _unseen():
            yield key
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _unseen() -> Iterator[None]:
    """Keys are not echoed and not read as lines: the next prompt gets them as they were pressed, and a
    paste as one (bracketed, which the prompt itself asks the terminal for)."""
    if termios is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    raw = termios.tcgetattr(sys.stdin)
    raw[_INPUT] &= ~termios.ICRNL
    raw[_LOCAL] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(sys.stdin, termios.TCSANOW, raw)
    _write(_BRACKETED)
    try:
        yield
    finally:
        _write(_NOT_BRACKETED)
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def _write(sequence: str) -> None:
    if can_draw():
        sys.stdout.write(sequence)
        sys.stdout.flush()


def can_draw() -> bool:
    """Whether standard output is a terminal whose cursor can be moved."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
