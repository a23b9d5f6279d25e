"""SentencePiece's compiled table of replacements, which normalizes a text before unigram tokenization.

It is a trie over the bytes of the replaced texts, stored as a double array of 32-bit units, followed by the
replacements, each of which ends with a zero byte. Equal branches of the trie are shared, so it may contain
very many texts, and is searched as it is.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from myna.core.errors import ModelFileError
from myna.core.translatable import N_

_BYTES: Final = np.arange(1, 256)
_LONGEST: Final = 64  # characters; real tables have less than ten
_IS_VALUE: Final = 1 << 31


class CharacterTable:
    """Replaces the longest text of the table at each position. Raises `ModelFileError` if it is damaged."""

    def __init__(self, data: bytes) -> None:
        size = int.from_bytes(data[:4], "little") if data else 0
        if data and (len(data) < 4 or size % 4 or size + 4 >= len(data)):
            raise ModelFileError(N_("The vocabulary's table of characters is damaged."))
        units = np.frombuffer(data, "<u4", size // 4, 4 if data else 0).astype(np.int64)
        self._bases: list[int] = ((units >> 10) << ((units & 0x200) >> 6)).tolist()
        self._labels: list[int] = (units & (_IS_VALUE | 0xFF)).tolist()
        self._ends: list[int] = ((units >> 8) & 1).tolist()
        self._values: list[int] = (units & (_IS_VALUE - 1)).tolist()
        self._replacements = data[4 + size :]
        self._root = self._bases[0] if size else 0
        children = _children(units & (_IS_VALUE | 0xFF))
        self._single: dict[int, str] = {}
        firsts: list[str] = []
        seconds: set[int] = set()
        for char, node, is_end in self._chars(children) if size else ():
            if is_end:
                self._single[ord(char)] = self._replacement(node)
            if following := children(node):
                firsts.append(char)
                seconds.update(following)
        first, second = re.escape("".join(firsts)), "".join(map(_chars_of_lead, sorted(seconds)))
        self._start = re.compile(f"[{first}](?=[{second}])") if second else None
        """Where a text of more than one character may begin."""

    def replace(self, text: str) -> str:
        parts: list[str] = []
        done = at = 0
        while self._start is not None and (match := self._start.search(text, at)):
            start = match.start()
            end, node = self._longest(text, start)
            at = start + 1
            if end > start + 1:
                parts += (text[done:start].translate(self._single), self._replacement(node))
                done = at = end
        return "".join((*parts, text[done:].translate(self._single)))

    def _longest(self, text: str, start: int) -> tuple[int, int]:
        """The end of the longest text of the table that begins at `start`, and its node."""
        best = start, 0
        node = self._root
        for end in range(start, min(len(text), start + _LONGEST)):
            for byte in text[end].encode():
                found = self._step(node, byte)
                if found is None:
                    return best
                node, is_end = found
            if is_end:
                best = end + 1, node
        return best

    def _chars(self, children: "_Children") -> Iterator[tuple[str, int, bool]]:
        """Each character at the start of a text of the table, its node, and whether a text ends there."""
        todo = [(b"", self._root)]
        while todo:
            prefix, parent = todo.pop()
            for byte in children(parent):
                data = prefix + bytes((byte,))
                node, is_end = self._step(parent, byte) or (0, False)
                if len(data) == _num_bytes(data[0]):
                    if text := data.decode("utf-8", "ignore"):
                        yield text, node, is_end
                elif len(data) < _num_bytes(data[0]):
                    todo.append((data, node))

    def _step(self, node: int, byte: int) -> tuple[int, bool] | None:
        child = node ^ byte
        if not byte or child >= len(self._labels) or self._labels[child] != byte:
            return None
        return child ^ self._bases[child], bool(self._ends[child])

    def _replacement(self, node: int) -> str:
        start = self._values[node] if node < len(self._values) else len(self._replacements)
        end = self._replacements.find(b"\0", start)
        if end < 0:
            raise ModelFileError(N_("The vocabulary's table of characters is damaged."))
        return self._replacements[start:end].decode("utf-8", "replace")


_Children = Callable[[int], tuple[int, ...]]


def _children(labels: npt.NDArray[np.int64]) -> _Children:
    """A function from a node to the bytes that may follow it."""

    @cache
    def children(node: int) -> tuple[int, ...]:
        found = node ^ _BYTES
        inside = found < len(labels)
        return tuple(_BYTES[inside][labels[found[inside]] == _BYTES[inside]].tolist())

    return children


def _num_bytes(lead: int) -> int:
    """The length of the UTF-8 character that begins with this byte; 0 if none does."""
    if lead < 0x80:
        return 1
    return 0 if lead < 0xC2 or lead > 0xF4 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


def _chars_of_lead(lead: int) -> str:
    """The characters whose UTF-8 begins with this byte, as a part of a regular expression's class."""
    size = _num_bytes(lead)
    if size < 2:
        return re.escape(chr(lead)) if size else ""
    first = (lead & (0xFF >> (size + 1))) << (6 * (size - 1))
    last = min(first + (1 << (6 * (size - 1))) - 1, 0x10FFFF)
    return f"{chr(first)}-{chr(last)}"
