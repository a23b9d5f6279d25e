"""Finds the texts of special tokens and splits text there. Knows nothing about merging."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from myna.core.errors import ModelFileError
from myna.core.translatable import N_

Piece = str | int

_WHITE_SPACE: Final = " \t\n\v\f\r"


class SpecialMatcher:
    """Splits text at the given tokens, longest token (in bytes) first, wherever it occurs; shorter ones get
    what is left. This is llama.cpp's order, not the leftmost-first order of others. White space before a
    token of `strips_before`, or after one of `strips_after`, is left out."""

    def __init__(
        self,
        tokens: Iterable[tuple[str, int]],
        strips_before: frozenset[int] = frozenset(),
        strips_after: frozenset[int] = frozenset(),
    ) -> None:
        self._strips_before, self._strips_after = strips_before, strips_after
        ordered = sorted(tokens, key=lambda token: -len(token[0].encode()))
        self._ids = {text: token for text, token in ordered if text}
        self._rank = {text: rank for rank, text in enumerate(self._ids)}
        try:
            pattern = re.compile(_trie_pattern(self._ids), re.DOTALL) if self._ids else None
        except (RecursionError, OverflowError, re.error):
            raise ModelFileError(N_("The vocabulary's special tokens share too long prefixes.")) from None
        self._search = pattern.search if pattern is not None else None

    def __contains__(self, text: str) -> bool:
        """Whether the text contains any of the tokens."""
        return self._search is not None and self._search(text) is not None

    def cut(self, text: str) -> list[Piece]:
        """The text as strings and token ids, in order; no empty strings."""
        pieces: list[Piece] = [text] if text else []
        for token in self._present(text):
            pieces = [part for piece in pieces for part in self._cut_at(piece, token)]
        return pieces

    def starts(self, text: str) -> Iterator[int]:
        """The indexes in the text at which a token begins, including overlapping ones."""
        at = 0
        while self._search is not None and (match := self._search(text, at)):
            yield match.start()
            at = match.start() + 1

    def _cut_at(self, piece: Piece, token: str) -> list[Piece]:
        if isinstance(piece, int) or token not in piece:
            return [piece]
        number = self._ids[token]
        texts = piece.split(token)
        parts: list[Piece] = []
        for i, text in enumerate(texts):
            if i:
                parts.append(number)
                if number in self._strips_after:
                    text = text.lstrip(_WHITE_SPACE)
            if i < len(texts) - 1 and number in self._strips_before:
                text = text.rstrip(_WHITE_SPACE)
            if text:
                parts.append(text)
        return parts

    def _present(self, text: str) -> list[str]:
        """The tokens that occur in the text, including overlapping ones, longest first."""
        found: set[str] = set()
        at = 0
        while self._search is not None and (match := self._search(text, at)):
            found.add(match.group())
            at = match.start() + 1
        for longest in tuple(found):
            found.update(longest[:end] for end in range(1, len(longest)) if longest[:end] in self._ids)
        return sorted(found, key=self._rank.__getitem__)


def _trie_pattern(texts: Iterable[str]) -> str:
    """A regular expression that matches the longest of the texts at a position, without trying each."""
    root: dict[str, dict[str, object]] = {}
    for text in texts:
        node = root
        for char in text:
            node = node.setdefault(char, {})  # type: ignore[assignment]
        node[""] = {}
    return _node_pattern(root)


def _node_pattern(node: dict[str, dict[str, object]]) -> str:
    branches = [
        re.escape(char) + _node_pattern(child)  # type: ignore[arg-type]
        for char, child in node.items()
        if char
    ]
    if not branches:
        return ""
    body = branches[0] if len(branches) == 1 and "" not in node else f"(?:{'|'.join(branches)})"
    return f"{body}?" if "" in node else body
