"""How an answer is shown while it arrives: rendered as Markdown, or plain where that isn't possible."""

import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from rich.console import Console
from rich.text import Text

from myna.cli.chat.blocks import BlockSplitter
from myna.cli.chat.drawing import TailDrawer
from myna.cli.chat.markdown import ChatMarkdown, rows_of
from myna.cli.terminal_text import printable


class View(Protocol):
    """One answer. `finish` leaves the cursor at the start of a line, with everything shown."""

    def wait(self) -> None: ...

    def think(self, text: str) -> None: ...

    def say(self, text: str) -> None: ...

    def finish(self) -> None: ...


class PlainView:
    """Text as it arrives, for pipes and for terminals that can only print."""

    def __init__(self, out: TextIO, *, shows_thoughts: bool) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._shows_thoughts = shows_thoughts
        self._last = "\n"
        self._is_thinking = False

    def wait(self) -> None: ...

    def think(self, text: str) -> None:
        if self._shows_thoughts:
            self._is_thinking = True
            self._put(text)

    def say(self, text: str) -> None:
        if self._is_thinking:
            self._is_thinking = False
            self._put("\n\n")
        self._put(text)

    def finish(self) -> None:
        if self._last != "\n":
            self._put("\n")

    def _put(self, text: str) -> None:
        if text:
            self._out.write(printable(text) if self._is_terminal else text)
            self._out.flush()
            self._last = text[-1]


class MarkdownView:
    """Finished blocks are printed once, and the unfinished one is redrawn as it grows."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawer = TailDrawer(self._write, lambda: (console.width, console.height))
        self._splitter = BlockSplitter()
        self._thoughts = ""
        self._is_first = True
        self._rest_until_s = 0.0

    def wait(self) -> None:
        self._drawer.draw(["…"])

    def think(self, text: str) -> None:
        self._thoughts += printable(text)
        self._redraw(self._thought_rows)

    def say(self, text: str) -> None:
        if self._thoughts:
            self._print(self._thought_rows())
            self._thoughts = ""
        for block in self._splitter.push(printable(text)):
            self._print(self._rows(block))
        self._redraw(lambda: self._rows(self._splitter.tail))

    def finish(self) -> None:
        if self._thoughts:
            self._print(self._thought_rows())
            self._thoughts = ""
        for block in self._splitter.finish():
            self._print(self._rows(block))
        self._drawer.draw([])  # there was nothing, or only blank lines at the end

    def _redraw(self, rows: Callable[[], list[str]]) -> None:
        """At most half of the time is spent drawing; what is skipped is shown with the next piece."""
        started_s = time.monotonic()
        if started_s < self._rest_until_s:
            return
        drawn = rows()
        if drawn:
            self._drawer.draw(self._spaced(drawn))
        ended_s = time.monotonic()
        self._rest_until_s = ended_s + (ended_s - started_s)

    def _print(self, rows: list[str]) -> None:
        if rows:
            self._drawer.draw(self._spaced(rows))
            self._drawer.finish()
            self._is_first = False

    def _spaced(self, rows: list[str]) -> list[str]:
        return rows if self._is_first else ["", *rows]

    def _rows(self, block: str) -> list[str]:
        return rows_of(self._console, ChatMarkdown(block), self._width)

    def _thought_rows(self) -> list[str]:
        return rows_of(self._console, Text(self._thoughts.strip(), style="dim italic"), self._width)

    @property
    def _width(self) -> int:
        return max(self._console.width - 1, 8)  # a full row would leave the cursor between two rows

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
