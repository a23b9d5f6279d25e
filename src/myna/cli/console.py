"""What the terminal shows: progress, errors, and plain lines if there is no terminal. Only results go to
standard output; everything else goes to standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from myna.catalog.partial import Progress as PullProgress
from myna.cli.language import translated
from myna.core.translatable import N_, Translatable

_PLAIN_EVERY_S = 5.0


def print_error(message: str | Translatable) -> None:
    """One sentence after the program's name, as other command line tools print it."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        "myna:", translated(message), style="red" if sys.stderr.isatty() else None, markup=False
    )


def note(message: str | Translatable) -> None:
    """A line for the person, not for a script."""
    print(translated(message), file=sys.stderr, flush=True)


def say(message: str | Translatable) -> None:
    """A line of the result, for a person; scripts use `--json`."""
    print(translated(message))


class BarProgress:
    """A bar with size, speed and time left, for a terminal."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def message(self, line: str | Translatable) -> None:
        self._bars.console.print(translated(line), markup=False, highlight=False)

    def update(self, num_bytes: int, total_bytes: int) -> None:
        if self._task is None:
            self._task = self._bars.add_task("", total=total_bytes, completed=num_bytes)
        self._bars.update(self._task, total=total_bytes, completed=num_bytes)


class LineProgress:
    """A line every few seconds, for a log."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + _PLAIN_EVERY_S

    def message(self, line: str | Translatable) -> None:
        note(line)

    def update(self, num_bytes: int, total_bytes: int) -> None:
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + _PLAIN_EVERY_S
            note(
                N_(
                    "  {done:,.0f} of {total:,.0f} MB ({share:.0%})",
                    done=num_bytes / 1e6,
                    total=total_bytes / 1e6,
                    share=num_bytes / total_bytes,
                )
            )


@contextmanager
def pull_progress() -> Iterator[PullProgress]:
    """Progress of a download: bars on a terminal, lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield LineProgress()
        return
    columns = (
        TextColumn("  "),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield BarProgress(bars)


def megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"
