"""WordPiece tokenization as in BERT: each normalized word becomes the longest tokens, from its start."""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from myna.prompts.token_pieces import SPACE_MARK
from myna.prompts.vocabulary import Vocabulary

_CACHED_WORDS: Final = 32_768
_CACHED_WORD_CHARS: Final = 48
_IDEOGRAPHS: Final = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
# What Unicode calls white space, which is less than `str.isspace`.
_WHITE_SPACE: Final = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
)


class WordPieceEncoder:
    """Texts to ids. Thread-safe: only the caches are mutable, and they have their own locks."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ids = {text.decode("utf-8", "replace"): token for token, text in enumerate(vocabulary.texts)}
        self._longest = max(map(len, self._ids))
        self._unknown = [] if vocabulary.unknown is None else [vocabulary.unknown]
        self._lowercases = vocabulary.normalization.lowercases
        self._strips_accents = vocabulary.normalization.strips_accents
        self._word = lru_cache(maxsize=_CACHED_WORDS)(self._pieces)
        self._char = lru_cache(maxsize=_CACHED_WORDS)(self._normalized)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        return [[token for word in self._words(text) for token in self._tokens(word)] for text in texts]

    def _words(self, text: str) -> Iterator[str]:
        word = ""
        for char in text:
            normalized, is_separate = self._char(char)
            if not is_separate:
                word += normalized
                continue
            if word:
                yield word
                word = ""
            if normalized:
                yield normalized
        if word:
            yield word

    def _normalized(self, char: str) -> tuple[str, bool]:
        """What the character becomes, and whether it ends the word before it and is one of its own."""
        if char in _WHITE_SPACE:
            return "", True
        if self._strips_accents:
            char = unicodedata.normalize("NFD", char)[0]
        category = unicodedata.category(char)
        if category in ("Cc", "Cf", "Co") or char in "\0\ufffd":
            return "", False
        if self._strips_accents and category.startswith("M"):
            return "", False
        is_separate = (
            category.startswith("P")
            or (ord(char) < 0x7F and category.startswith("S"))
            or any(first <= ord(char) <= last for first, last in _IDEOGRAPHS)
        )
        return (char.lower()[0] if self._lowercases else char), is_separate

    def _tokens(self, word: str) -> Sequence[int]:
        return self._word(word) if len(word) <= _CACHED_WORD_CHARS else self._pieces(word)

    def _pieces(self, word: str) -> Sequence[int]:
        """Words with a part that is in no token are one unknown token."""
        rest = SPACE_MARK.decode() + word
        tokens: list[int] = []
        start = 0
        while start < len(rest):
            for end in range(min(len(rest), start + self._longest), start, -1):
                if (token := self._ids.get(rest[start:end])) is not None:
                    tokens.append(token)
                    start = end
                    break
            else:
                return self._unknown
        return tokens
