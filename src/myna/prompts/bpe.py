"""Tokenization by byte-pair encoding: words are cut out by the pre-tokenizer and merged by rank.

Owns the merging of texts without special tokens.
"""

import re
from collections.abc import Sequence
from typing import Final

from tokenizers import Regex
from tokenizers import Tokenizer as MergeTokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import PreTokenizer as Step
from tokenizers.pre_tokenizers import Sequence as Steps

from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.pretokenizers import PRE_TOKENIZERS, PreTokenizer
from myna.prompts.string_arrays import merge_pairs, texts_of
from myna.prompts.token_pieces import SPACE_MARK, byte_alphabet
from myna.prompts.vocabulary import Vocabulary

_DROPPED: Final = "\0dropped"
_LINE_BREAKS: Final = re.compile(r"(\n+)")


class UnsupportedTokenizer(ModelFileError):
    """Myna can't tokenize for this model; the caller falls back to the engine's tokenizer."""


def find_rule(vocabulary: Vocabulary) -> PreTokenizer:
    """How the vocabulary cuts words out of a text. Raises `UnsupportedTokenizer`."""
    rule = PRE_TOKENIZERS.get(vocabulary.pre_tokenizer)
    if rule is None:
        raise UnsupportedTokenizer(
            N_("Myna does not know the pre-tokenizer {name!r}.", name=vocabulary.pre_tokenizer)
        )
    return rule


class BpeEncoder:
    """Texts to ids. Thread-safe; merging releases the GIL. Raises `UnsupportedTokenizer`."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        rule = find_rule(vocabulary)
        ids = dict(zip(texts_of(vocabulary.texts), range(len(vocabulary)), strict=True))
        self._size = len(vocabulary)
        if len(ids) != self._size:
            raise UnsupportedTokenizer("The vocabulary's tokens are not UTF-8.")
        self._marks_spaces = rule.marks_spaces
        self._line_breaks = {
            text: token for text, token in ids.items() if rule.keeps_line_breaks and not text.strip("\n")
        }
        self._merger = _merge_tokenizer(ids, _merges(vocabulary.merges), rule)
        self._drops_tokens = self._merger.get_vocab_size() > self._size

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        if self._marks_spaces:
            texts = [text.replace(" ", SPACE_MARK.decode()) for text in texts]
        if not self._line_breaks:
            return self._merge(texts)
        cuts = [[part for part in _LINE_BREAKS.split(text) if part] for text in texts]
        parts = [part for cut in cuts for part in cut if part not in self._line_breaks]
        merged = iter(self._merge(parts))
        return [
            [
                token
                for part in cut
                for token in ([self._line_breaks[part]] if part in self._line_breaks else next(merged))
            ]
            for cut in cuts
        ]

    def _merge(self, texts: Sequence[str]) -> list[list[int]]:
        rows = [encoded.ids for encoded in self._merger.encode_batch_fast(texts, add_special_tokens=False)]
        if self._drops_tokens:
            rows = [[token for token in row if token < self._size] for row in rows]
        return rows


def _merges(lines: list[bytes]) -> list[tuple[str, str]]:
    """Only the first of equal merges counts."""
    once = dict.fromkeys(lines)
    return merge_pairs(lines if len(once) == len(lines) else list(once))


def _merge_tokenizer(
    ids: dict[str, int], merges: list[tuple[str, str]], rule: PreTokenizer
) -> MergeTokenizer:
    """What is missing from the vocabulary gets an id behind it: it produces no token, but still separates its
    neighbours."""
    steps: list[Step] = [Split(Regex(pattern), "isolated") for pattern in rule.patterns]
    if rule.is_byte_level:
        for char in byte_alphabet().values():
            ids.setdefault(char, len(ids))
        steps.append(ByteLevel(add_prefix_space=False, use_regex=False))
        unknown = None
    else:
        unknown = _DROPPED
        ids.setdefault(unknown, len(ids))
    try:
        model = BPE(
            ids,
            merges,
            ignore_merges=rule.keeps_whole_words,
            byte_fallback=not rule.is_byte_level,
            unk_token=unknown,
        )
    except Exception as exc:  # the library's own exception type, for a merge of unknown tokens
        raise UnsupportedTokenizer(f"The vocabulary's merges don't match its tokens ({exc}).") from exc
    tokenizer = MergeTokenizer(model)
    tokenizer.pre_tokenizer = Steps(steps)
    return tokenizer
