"""SentencePiece-style tokenization as in llama.cpp: neighbours are merged by score, highest first.

Owns the merging of one fragment; the caller handles special tokens and the space prefix.
"""

from collections.abc import Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import Final

import numpy as np
import numpy.typing as npt

from myna.core.errors import ModelFileError
from myna.core.translatable import N_

_SPACE: Final = "▁"
_CACHED_WORDS: Final = 32_768
_CACHED_WORD_CHARS: Final = 48


class SpmEncoder:
    """Text to ids. Thread-safe: only the cache is mutable, and it has its own lock."""

    def __init__(self, texts: list[bytes], scores: tuple[float, ...]) -> None:
        decoded = [text.decode("utf-8", "replace") for text in texts]
        self._ids = {text: token for token, text in enumerate(decoded)}
        self._scores = scores or (0.0,) * len(texts)
        try:
            self._bytes = [self._byte_token(byte) for byte in range(256)]
        except KeyError as exc:
            raise ModelFileError(
                N_("The vocabulary has no token for the byte {byte}.", byte=exc.args[0])
            ) from None
        self._joined = _inner_pairs(decoded)
        self._word = lru_cache(maxsize=_CACHED_WORDS)(self._merge)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each fragment."""
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> list[int]:
        text = text.replace(" ", _SPACE)
        out: list[int] = []
        start = 0
        for end in self._cuts(text):
            word = text[start:end]
            out += self._word(word) if end - start <= _CACHED_WORD_CHARS else self._merge(word)
            start = end
        return out

    def _cuts(self, text: str) -> list[int]:
        """The indexes that no token can span: two characters that are adjacent in no token never merge, so
        that the text on either side can be tokenized separately."""
        codes = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint64)
        if len(codes) == 0:
            return []
        pairs = codes[:-1] << np.uint64(32) | codes[1:]
        at = np.searchsorted(self._joined, pairs)
        at[at == len(self._joined)] = 0
        cuts: list[int] = (np.flatnonzero(self._joined[at] != pairs) + 1).tolist()
        cuts.append(len(codes))
        return cuts

    def _byte_token(self, byte: int) -> int:
        token = self._ids.get(f"<0x{byte:02X}>")
        return token if token is not None else self._ids[chr(byte)]

    def _merge(self, word: str) -> tuple[int, ...]:
        if (whole := self._ids.get(word)) is not None and len(word) == 1:
            return (whole,)
        parts: list[str] = list(word)
        last = len(parts)
        after, before = list(range(1, last + 1)), list(range(-1, last - 1))
        queue = [entry for i in range(last - 1) if (entry := self._pair(parts, i, i + 1))]
        heapify(queue)
        while queue:
            _, left, right, size = heappop(queue)
            # One of the two was merged or grew after this pair was queued.
            if not parts[left] or not parts[right] or len(parts[left]) + len(parts[right]) != size:
                continue
            parts[left] += parts[right]
            parts[right] = ""
            following = after[left] = after[right]
            if following < last:
                before[following] = left
                if entry := self._pair(parts, left, following):
                    heappush(queue, entry)
            if before[left] >= 0 and (entry := self._pair(parts, before[left], left)):
                heappush(queue, entry)
        return tuple(token for part in parts if part for token in self._tokens(part))

    def _pair(self, parts: list[str], left: int, right: int) -> tuple[float, int, int, int] | None:
        token = self._ids.get(parts[left] + parts[right])
        if token is None:
            return None
        return -self._scores[token], left, right, len(parts[left]) + len(parts[right])

    def _tokens(self, part: str) -> list[int]:
        token = self._ids.get(part)
        if token is not None:
            return [token]
        return [self._bytes[byte] for byte in part.encode()]


def _inner_pairs(texts: list[str]) -> npt.NDArray[np.uint64]:
    """All pairs of characters that are adjacent in some token, sorted."""
    separator = "\0"
    joined = separator.join(texts)
    codes = np.frombuffer(joined.encode("utf-32-le"), "<u4").astype(np.uint64)
    # A pair with the separator may also be a token's own NUL; keeping both only splits less.
    return np.unique(codes[:-1] << np.uint64(32) | codes[1:])
