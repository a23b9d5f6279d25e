"""The part of the screen that still changes: rows are rewritten in place, from the first that differs, so
nothing flickers; rows that leave the screen at its top are final."""

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.text import Text


class TailDrawer:
    """Draws at the cursor. `size` returns the current columns and rows of the terminal."""

    def __init__(self, write: Callable[[str], object], size: Callable[[], tuple[int, int]]) -> None:
        self._write = write
        self._size = size
        self._rows: list[str] = []  # those on the screen that can still be reached
        self._num_final = 0
        self._columns = 0

    def draw(self, rows: Sequence[str]) -> None:
        """Show these rows in place of the previous ones."""
        columns, height = self._size()
        wanted = list(rows[self._num_final :])
        same = 0
        if columns == self._columns:
            pairs = zip(self._rows, wanted, strict=False)
            same = next((i for i, (old, new) in enumerate(pairs) if old != new), -1)
            same = min(len(self._rows), len(wanted)) if same < 0 else same
        if same < max(len(self._rows), len(wanted)) or columns != self._columns:
            self._write(self._change(wanted, min(same, max(len(wanted) - 1, 0))))
        num_reachable = max(height - 1, 1)
        self._num_final += max(len(wanted) - num_reachable, 0)
        self._rows, self._columns = wanted[-num_reachable:], columns

    def finish(self) -> None:
        """What is drawn is final; the cursor goes to the next line."""
        if self._rows:
            self._write("\r\n")
        self._rows, self._num_final = [], 0

    def _change(self, wanted: list[str], start: int) -> str:
        """From the cursor, which is in the last row, to row `start`, and all rows from there on."""
        up = self._height_of(self._rows[start:]) - 1
        move = "\r\n" if self._rows and up < 0 else "\r" + (f"\x1b[{up}A" if up > 0 else "")
        return move + "\r\n".join(f"{row}\x1b[K" for row in wanted[start:]) + "\x1b[J"

    def _height_of(self, rows: Sequence[str]) -> int:
        """The number of screen rows that they occupy: more than there are if the window became narrower."""
        columns = max(self._size()[0], 1)
        return sum(max(-(-cell_len(Text.from_ansi(row).plain) // columns), 1) for row in rows)
