"""Streamed Markdown taken apart: blocks that are finished, and the tail that may still change."""

import re
from dataclasses import dataclass
from typing import Final

_FENCE: Final = re.compile(r"( *)(`{3,}|~{3,})([^`]*)$")
_LIST_ITEM: Final = re.compile(r" *([-*+]|\d{1,9}[.)])( |$)")


@dataclass(slots=True)
class BlockSplitter:
    """Text goes in as it comes; whole blocks come out, in order. `tail` is the rest: together they are
    the whole text except for blank lines between blocks."""

    tail: str = ""
    _scanned: int = 0
    _fence: str = ""
    _is_list: bool = False
    _end: int | None = None

    def push(self, text: str) -> list[str]:
        """The blocks that this text finishes."""
        self.tail += text
        blocks: list[str] = []
        while (end := self.tail.find("\n", self._scanned)) >= 0:
            line = self.tail[self._scanned : end]
            if self._end is not None and line.strip() and not self._continues(line):
                self._cut(blocks, self._end)
                continue
            self._scanned = end + 1
            self._read(line, blocks)
        rest = self.tail[self._scanned :]
        if self._end is not None and len(rest.rstrip()) > 4 and not self._continues(rest):
            self._cut(blocks, self._end)
        return blocks

    def finish(self) -> list[str]:
        """The last block, complete or not."""
        last, self.tail, self._scanned, self._end = self.tail.strip("\n"), "", 0, None
        self._fence, self._is_list = "", False
        return [last] if last.strip() else []

    def _read(self, line: str, blocks: list[str]) -> None:
        fence = _FENCE.match(line)
        if self._fence:
            if fence and fence[2].startswith(self._fence) and not fence[3].strip():
                self._fence = ""
                if not self._is_list:
                    self._cut(blocks, self._scanned)
            return
        if not line.strip():
            if not self.tail[: self._scanned].strip():
                self._drop(self._scanned)
            elif self._is_list:
                self._end = self._scanned
            else:
                self._cut(blocks, self._scanned)
            return
        self._end = None
        if fence:
            if not self._is_list and self.tail[: self._scanned - len(line) - 1].strip():
                self._cut(blocks, self._scanned - len(line) - 1)
                self._scanned = len(line) + 1
            self._fence = fence[2]
        elif _LIST_ITEM.match(line):
            self._is_list = True

    def _continues(self, line: str) -> bool:
        """Whether a line after a blank one still belongs to the list."""
        return line.startswith("  ") or _LIST_ITEM.match(line) is not None

    def _cut(self, blocks: list[str], end: int) -> None:
        blocks.append(self.tail[:end].strip("\n"))
        self._drop(end)

    def _drop(self, end: int) -> None:
        self.tail = self.tail[end:]
        self._scanned, self._end, self._is_list = 0, None, False
