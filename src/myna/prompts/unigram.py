"""Unigram tokenization as in XLM-RoBERTa: the most likely sequence of tokens for the normalized text."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from tokenizers import Tokenizer as LikelihoodTokenizer
from tokenizers.models import Unigram

from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.character_table import CharacterTable
from myna.prompts.token_pieces import SPACE_MARK, TokenKind
from myna.prompts.vocabulary import Vocabulary

_SPACE: Final = SPACE_MARK.decode()
_MATCHED: Final = frozenset((TokenKind.NORMAL, TokenKind.USER_DEFINED, TokenKind.UNUSED))
_NOT_SPACE: Final = re.compile("[^ ]")


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
        self._table = CharacterTable(vocabulary.normalization.charsmap)
        self._merges_spaces = vocabulary.normalization.merges_spaces
        self._adds_space_prefix = vocabulary.adds_space_prefix

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        normalized = [self._with_spaces(self._table.replace(text)) for text in texts]
        rows = self._search.encode_batch_fast(normalized, add_special_tokens=False)
        return [self._ids[row.ids].tolist() if row.ids else [] for row in rows]

    def _with_spaces(self, text: str) -> str:
        if self._merges_spaces:
            return "".join(_SPACE + word for word in text.split(" ") if word)
        if self._adds_space_prefix and (first := _NOT_SPACE.search(text)):
            text = f"{text[: first.start()]} {text[first.start() :]}"
        return text.replace(" ", _SPACE)
