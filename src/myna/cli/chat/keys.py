"""The keyboard while an answer comes: Ctrl-C ends it, other keys wait for the next prompt unseen."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

try:
    import termios
except ImportError:  # not a POSIX system: keys are echoed there
    termios = None  # type: ignore[assignment]


@dataclass(slots=True)
class StopKey:
    """Ctrl-C raises in a `breaking` block alone; elsewhere it is remembered, so that no drawing is cut."""

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
        with _no_echo():
            yield key
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _no_echo() -> Iterator[None]:
    if termios is None or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    quiet = termios.tcgetattr(sys.stdin)
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
