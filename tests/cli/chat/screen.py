"""A small terminal for the tests: rows that scroll, a cursor, and the few sequences that we draw with."""

import re
from typing import Final

from rich.cells import cell_len

_PART: Final = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[[\d;]*m|(\r)|(\n)|([^\x1b\r\n]+)")


class Screen:
    """`rows` are those on the screen, `gone` those that scrolled off at the top, which nothing can change."""

    def __init__(self, columns: int, height: int) -> None:
        self.columns, self.height = columns, height
        self.rows, self.gone = [""], list[str]()
        self.row = self.column = 0

    def write(self, text: str) -> None:
        for match in _PART.finditer(text):
            number, letter, back, down, words = match.groups()
            if letter == "A":
                self.row = max(self.row - int(number or 1), 0)
            elif letter == "K":
                self.rows[self.row] = _head(self.rows[self.row], self.column)
            elif letter == "J":
                self.rows[self.row] = _head(self.rows[self.row], self.column)
                del self.rows[self.row + 1 :]
            elif back:
                self.column = 0
            elif down:
                self._down()
            elif words:
                self._put(words)

    def text(self) -> list[str]:
        """All that was shown, without blank rows at the end."""
        rows = [row.rstrip() for row in [*self.gone, *self.rows]]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")
        if len(self.rows) > self.height:
            self.gone.append(self.rows.pop(0))
            self.row -= 1

    def _put(self, words: str) -> None:
        row = self.rows[self.row]
        end = self.column + cell_len(words)
        assert end <= self.columns, "no row is wider than the screen"
        self.rows[self.row] = _head(row, self.column) + words + _tail(row, end)
        self.column = end


def _head(row: str, cells: int) -> str:
    return next(row[:end] for end in range(len(row) + 1) if cell_len(row[:end]) >= min(cells, cell_len(row)))


def _tail(row: str, cells: int) -> str:
    return next((row[start:] for start in range(len(row)) if cell_len(row[:start]) >= cells), "")
