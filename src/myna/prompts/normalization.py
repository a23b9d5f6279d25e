"""What happens to text before its tokenization, by a file's metadata: normalization, and white space around
special tokens."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from myna.core.errors import ModelFileError
from myna.core.translatable import N_
from myna.prompts.gguf import Header
from myna.prompts.special_tokens import NOT_STRIPPING_TEXTS


@dataclass(frozen=True, slots=True)
class Normalization:
    """For unigram and WordPiece tokenization. `charsmap` is SentencePiece's compiled table of
    replacements."""

    charsmap: bytes
    merges_spaces: bool
    lowercases: bool
    strips_accents: bool

    @classmethod
    def of(cls, header: Header) -> "Normalization":
        charsmap = header.numbers("tokenizer.ggml.precompiled_charsmap", np.empty(0, np.uint8))
        if charsmap.dtype.itemsize != 1:
            raise ModelFileError(N_("The vocabulary's table of characters is damaged."))
        lowercases = header.boolean("tokenizer.ggml.normalizer.lowercase", True)
        return cls(
            charsmap=charsmap.tobytes(),
            merges_spaces=header.boolean("tokenizer.ggml.remove_extra_whitespaces", False),
            lowercases=lowercases,
            strips_accents=header.boolean("tokenizer.ggml.normalizer.strip_accents", lowercases),
        )


@dataclass(frozen=True, slots=True)
class Stripping:
    """The special tokens that swallow the white space before and after them."""

    before: frozenset[int] = frozenset()
    after: frozenset[int] = frozenset()


def find_stripping(
    header: Header, pre_tokenizer: str, ids: Mapping[bytes, int], special: Collection[int]
) -> Stripping:
    """Files don't say it; it is known of these models."""
    architecture = header.string("general.architecture", "")
    name = header.string("general.name", "").lower()
    if any(part in pre_tokenizer for part in ("jina-v2-de", "jina-v2-es", "jina-v2-code")) or any(
        part in architecture for part in ("nomic-bert-moe", "jina-bert-v3")
    ):
        return Stripping(before=_of(b"<mask>", ids))
    if "phi-3" in name or "phi3" in name:
        return Stripping(after=frozenset(special) - {ids.get(text) for text in NOT_STRIPPING_TEXTS})
    if "modern-bert" in name:
        return Stripping(before=_of(b"[MASK]", ids))
    return Stripping()


def _of(text: bytes, ids: Mapping[bytes, int]) -> frozenset[int]:
    token = ids.get(text)
    return frozenset() if token is None else frozenset((token,))
