"""Text to the same token ids as llama.cpp's, with the vocabulary of the model file."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from myna.core.translatable import N_
from myna.prompts.bpe import BpeEncoder, UnsupportedTokenizer, find_rule
from myna.prompts.special_match import Piece, SpecialMatcher
from myna.prompts.spm import SpmEncoder
from myna.prompts.unigram import UnigramEncoder
from myna.prompts.vocabulary import Vocabulary
from myna.prompts.wordpiece import WordPieceEncoder

# Starts of words of which WordPiece makes at least one token each.
_OWN_WORDS: Final = re.compile(r"(?:^|(?<=[ \t\r\n]))[A-Za-z0-9]|[\u4e00-\u9fff]")

EngineTokenize = Callable[[str], list[int]]
TextsToTokens = Callable[[Sequence[str]], list[list[int]]]

_ENCODERS: Final[dict[str, Callable[[Vocabulary], TextsToTokens]]] = {
    "bpe": lambda vocabulary: BpeEncoder(vocabulary).encode,
    "spm": lambda vocabulary: SpmEncoder(vocabulary.texts, vocabulary.scores).encode,
    "wordpiece": lambda vocabulary: WordPieceEncoder(vocabulary).encode,
    "unigram": lambda vocabulary: UnigramEncoder(vocabulary).encode,
}
"""By the vocabulary's model: encode texts without special tokens. Raise `UnsupportedTokenizer`."""


class RowEncoder(Protocol):
    """Encodes texts that were cut at special tokens. Thread-safe."""

    def encode_rows(self, rows: Sequence[Sequence[Piece]]) -> list[list[int]]:
        """The tokens of each row, special ones included."""
        ...


class Tokenizer:
    """Thread-safe. Texts may be any `str`; lone surrogates become U+FFFD.

    `engine_tokenize` takes over tokenization (without special tokens) for a model that Myna can't tokenize
    for; without it, such a model raises `UnsupportedTokenizer`. `encoder` is used instead of what belongs to
    the vocabulary's kind."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        engine_tokenize: EngineTokenize | None = None,
        encoder: RowEncoder | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._longest = max(1, *map(len, vocabulary.pieces))
        texts = {
            token: vocabulary.texts[token].decode("utf-8", "replace") for token in vocabulary.special_ids
        }
        strips = vocabulary.stripping.before, vocabulary.stripping.after
        self._all_special = SpecialMatcher(((text, token) for token, text in texts.items()), *strips)
        self._user_defined = SpecialMatcher(
            ((text, token) for token, text in texts.items() if not vocabulary.is_control(token)), *strips
        )
        self.is_engines = False
        """Whether the engine's own tokenizer is used."""
        if encoder is not None:
            self._encode_rows = encoder.encode_rows
            return
        self._encode_rows = self._encode_by_kind
        try:
            self._encode_texts = _encoder(vocabulary)
        except UnsupportedTokenizer:
            if engine_tokenize is None:
                raise
            self.is_engines = True
            self._encode_texts = lambda texts: [engine_tokenize(text) for text in texts]

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """The tokens of the text, without BOS or EOS. With `parse_special`, the texts of control tokens
        become those tokens; otherwise they are ordinary text."""
        return self.encode_batch([text], parse_special=parse_special)[0]

    def encode_batch(self, texts: Sequence[str], *, parse_special: bool) -> list[list[int]]:
        """`encode` of each text; merging releases the GIL."""
        matcher = self._all_special if parse_special else self._user_defined
        return self._encode_rows([matcher.cut(_without_surrogates(text)) for text in texts])

    def encode_marked(self, text: str, mark: str) -> list[int]:
        """The tokens of a text in which control tokens are real, except those that contain `mark`."""
        escaped = f"\\u{ord(mark):04x}"  # as a template's `tojson` may have written it
        pieces: list[Piece] = []
        for piece in self._all_special.cut(_without_surrogates(text)):
            if isinstance(piece, int):
                pieces.append(piece)
            else:
                pieces += self._user_defined.cut(piece.replace(mark, "").replace(escaped, ""))
        return self._encode_rows([pieces])[0]

    def least_tokens(self, text: str) -> int:
        """A lower bound of the number of tokens, without tokenizing the text."""
        if self._vocabulary.model == "unigram":
            return 0  # a token for any number of unknown characters, and none for white space
        if self._vocabulary.model == "wordpiece":
            return len(_OWN_WORDS.findall(text))
        if self._vocabulary.stripping.after:
            text = "".join(text.split())
        return -(-len(text) // self._longest)

    def _encode_by_kind(self, rows: Sequence[Sequence[Piece]]) -> list[list[int]]:
        if self._vocabulary.model == "spm" and self._vocabulary.adds_space_prefix:
            rows = [_with_space_prefixes(row) for row in rows]
        texts = [piece for row in rows for piece in row if isinstance(piece, str)]
        encoded = iter(self._encode_texts(texts))
        return [joined(row, encoded) for row in rows]


def joined(row: Sequence[Piece], encoded: Iterator[list[int]]) -> list[int]:
    """The row's tokens, those of its texts taken from `encoded`."""
    tokens: list[int] = []
    for piece in row:
        if isinstance(piece, int):
            tokens.append(piece)
        else:
            tokens += next(encoded)
    return tokens


def check_tokenizer(vocabulary: Vocabulary) -> None:
    """Raise `UnsupportedTokenizer` for a vocabulary of a kind that Myna doesn't know, without building
    anything; a few more are only found then."""
    if vocabulary.model not in _ENCODERS:
        raise UnsupportedTokenizer(
            N_("Myna does not know the tokenizer model {name!r}.", name=vocabulary.model)
        )
    if vocabulary.model == "bpe":
        find_rule(vocabulary)


def _encoder(vocabulary: Vocabulary) -> TextsToTokens:
    check_tokenizer(vocabulary)
    return _ENCODERS[vocabulary.model](vocabulary)


def _with_space_prefixes(row: Sequence[Piece]) -> list[Piece]:
    """A text at the start or after a special token begins with a space."""
    return [
        f" {piece}" if isinstance(piece, str) and (i == 0 or isinstance(row[i - 1], int)) else piece
        for i, piece in enumerate(row)
    ]


def _without_surrogates(text: str) -> str:
    """The text without lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
