"""Unigram tokenization as in XLM-RoBERTa: the most likely sequence of tokens for the normalized text."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from tokenizers import Tokenizer as LikelihoodTokenizer
from tokenizers.models import Unigram

from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.token_pieces import SPACE_MARK, TokenKind
from myna.prompts.vocabulary import Vocabulary

_SPACE: Final = SPACE_MARK.decode()
_MATCHED: Final = frozenset((TokenKind.NORMAL, TokenKind.USER_DEFINED, TokenKind.UNUSED))
_NOT_SPACE: Final = re.compile("[^ ]")
_MAX_KEY_BYTES: Final = 64


class UnigramEncoder:
    """Texts to ids. Thread-safe; the search releases the GIL."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        if vocabulary.unknown is None:
            raise ModelFileError(N_("The vocabulary has no unknown token."))
        scores = vocabulary.scores or (0.0,) * len(vocabulary)
        tokens = [token for token, kind in enumerate(vocabulary.kinds) if kind in _MATCHED]
        known = [
            (
                vocabulary.texts[token].decode("utf-8", "replace"),
                0.0 if vocabulary.kinds[token] == TokenKind.USER_DEFINED else scores[token],
            )
            for token in tokens
        ]
        self._ids = np.array([*tokens, vocabulary.unknown])
        unknown = "\0unknown"  # text of it in a prompt becomes it, which does no harm
        self._search = LikelihoodTokenizer(Unigram([*known, (unknown, 0.0)], len(known), byte_fallback=False))
        self._normalize = _Replacer(vocabulary.normalization.charsmap)
        self._merges_spaces = vocabulary.normalization.merges_spaces
        self._adds_space_prefix = vocabulary.adds_space_prefix

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        normalized = [self._with_spaces(self._normalize(text)) for text in texts]
        rows = self._search.encode_batch_fast(normalized, add_special_tokens=False)
        return [self._ids[row.ids].tolist() if row.ids else [] for row in rows]

    def _with_spaces(self, text: str) -> str:
        if self._merges_spaces:
            return "".join(_SPACE + word for word in text.split(" ") if word)
        if self._adds_space_prefix and (first := _NOT_SPACE.search(text)):
            text = f"{text[: first.start()]} {text[first.start() :]}"
        return text.replace(" ", _SPACE)


class _Replacer:
    """Replaces texts by a compiled table, the longest one at each position. Only the texts of more than one
    character need a search."""

    def __init__(self, charsmap: bytes) -> None:
        table = _read_charsmap(charsmap) if charsmap else {}
        self._single = str.maketrans({key: value for key, value in table.items() if len(key) == 1})
        self._longer = {key: value for key, value in table.items() if len(key) > 1}
        self._longest = max(map(len, self._longer), default=0)
        firsts, seconds = ("".join(sorted({key[i] for key in self._longer})) for i in (0, 1))
        self._start = re.compile(f"[{re.escape(firsts)}](?=[{re.escape(seconds)}])") if firsts else None

    def __call__(self, text: str) -> str:
        parts: list[str] = []
        done = at = 0
        while self._start is not None and (match := self._start.search(text, at)):
            start = match.start()
            for end in range(min(len(text), start + self._longest), start + 1, -1):
                if (replacement := self._longer.get(text[start:end])) is not None:
                    parts += (text[done:start].translate(self._single), replacement)
                    done = at = end
                    break
            else:
                at = start + 1
        return "".join((*parts, text[done:].translate(self._single)))


def _read_charsmap(data: bytes) -> Mapping[str, str]:
    """The entries of the table: a double array of 32-bit units, which is a trie over the bytes of the texts,
    and the replacements, which end with a zero byte."""
    damaged = ModelFileError(N_("The vocabulary's table of characters is damaged."))
    size = int.from_bytes(data[:4], "little")
    if len(data) < 4 or size % 4 or size + 4 >= len(data):
        raise damaged
    units = np.frombuffer(data[4 : 4 + size], "<u4").astype(np.int64)
    bases = (units >> 10) << ((units & 0x200) >> 6)
    labels, has_value, values = units & 0x800000FF, (units >> 8) & 1, units & 0x7FFFFFFF
    replacements = data[4 + size :]
    chars = np.arange(1, 256)
    table: dict[str, str] = {}
    todo = [(b"", int(bases[0]))] if len(units) else []
    while todo:
        prefix, base = todo.pop()
        nodes = base ^ chars
        inside = nodes < len(units)
        found = chars[inside][labels[nodes[inside]] == chars[inside]]
        for char in found.tolist():
            key, node = prefix + bytes((char,)), base ^ char
            child = node ^ int(bases[node])
            if has_value[node]:
                start = int(values[child]) if child < len(units) else len(replacements)
                end = replacements.find(b"\0", start)
                if end < 0 or len(table) > len(units):
                    raise damaged
                table[key.decode("utf-8", "replace")] = replacements[start:end].decode("utf-8", "replace")
            if len(key) < _MAX_KEY_BYTES:
                todo.append((key, child))
    return table
