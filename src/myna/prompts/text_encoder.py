"""The `core.embedder.TextEncoder` of a GGUF file: texts to tokens as the model was trained on them."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from myna.prompts.gguf import Header
from myna.prompts.pooling import find_pooling, is_encoder
from myna.prompts.tokenizer import EngineTokenize, Tokenizer
from myna.prompts.vocabulary import Vocabulary

Widths = range | tuple[int, ...]

_END_OF_TEXT: Final = b"<|endoftext|>"
_SEPARATOR: Final = 102  # of BERT's vocabularies, unless the file names another


class _Trained(NamedTuple):
    """Models of an `architecture` whose name has `name` in it were trained for vectors that are cut: to any
    width from `least` on, or only to those of `widths`."""

    architecture: str
    name: str
    least: int = 0
    widths: tuple[int, ...] = ()


# GGUF has no field for it. From the model cards.
_MATRYOSHKA: Final = (
    _Trained("qwen3", r"qwen3-embedding", least=32),
    _Trained("gemma-embedding", r"", widths=(128, 256, 512)),
    _Trained("nomic-bert", r"v1\.5", widths=(64, 128, 256, 512)),
    _Trained("nomic-bert-moe", r"v2", widths=(256,)),
    _Trained("jina-bert-v3", r"", widths=(32, 64, 128, 256, 512, 768)),
    _Trained("bert", r"arctic-embed-m-v1\.5|arctic-embed-.*-?v2\.0", widths=(256,)),
)


class GgufTextEncoder:
    """Texts of special tokens become those tokens, as in the tokenizers that the models were trained with."""

    def __init__(
        self,
        header: Header,
        engine_tokenize: EngineTokenize | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """See `prompts.tokenizer.Tokenizer`. The header must have passed `check_model`; `vocabulary` is its
        own, if that was already read."""
        vocabulary = vocabulary or Vocabulary.of(header)
        self._tokenizer = Tokenizer(vocabulary, engine_tokenize)
        self._start, self._end = _frame(header, vocabulary)
        self.widths: Widths = _widths(header)

    @property
    def uses_engine_tokenizer(self) -> bool:
        return self._tokenizer.is_engines

    def least_tokens(self, text: str) -> int:
        return self._tokenizer.least_tokens(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        rows = self._tokenizer.encode_batch(texts, parse_special=True)
        return [self.with_special(tokens) for tokens in rows]

    def with_special(self, tokens: Sequence[int]) -> list[int]:
        """Clients may have written them themselves, since some servers don't."""
        start, end = self._start, self._end
        before = [] if start is None or (tokens and tokens[0] == start) else [start]
        after = [] if end is None or (tokens and tokens[-1] == end) else [end]
        return [*before, *tokens, *after]


def _frame(header: Header, vocabulary: Vocabulary) -> tuple[int | None, int | None]:
    """The tokens at the start and end of each text.

    Encoders are always trained with both, and models that pool the last token with one at the end, also where
    older files don't say so: without it, the vector is that of the last word."""
    bos, eos = vocabulary.bos, vocabulary.eos
    if is_encoder(header.architecture):
        start = bos if bos is not None else _token(header, vocabulary, "cls")
        default = _SEPARATOR if vocabulary.model == "wordpiece" else None
        end = _token(header, vocabulary, "seperator", default)  # sic
        return start, end if end is not None else eos
    start = bos if vocabulary.adds_bos else None
    if vocabulary.adds_eos:
        return start, eos
    if find_pooling(header) != "last":
        return start, None
    return start, vocabulary.texts.index(_END_OF_TEXT) if _END_OF_TEXT in vocabulary.texts else eos


def _token(header: Header, vocabulary: Vocabulary, name: str, default: int | None = None) -> int | None:
    token = header.metadata.get(f"tokenizer.ggml.{name}_token_id", default)
    return token if isinstance(token, int) and 0 <= token < len(vocabulary) else None


def _widths(header: Header) -> Widths:
    width = header.integer(f"{header.architecture}.embedding_length")
    names = "-".join(header.string(f"general.{key}", "") for key in ("name", "basename", "version"))
    name = re.sub(r"[\s_]+", "-", names.lower())
    for row in _MATRYOSHKA:
        if row.architecture == header.architecture and re.search(row.name, name):
            return range(row.least, width + 1) if row.least else (*row.widths, width)
    return ()
