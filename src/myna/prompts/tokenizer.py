"""Text to the same token ids as llama.cpp's, with the vocabulary of the model file."""

from collections.abc import Callable, Sequence

from tokenizers import Regex
from tokenizers import Tokenizer as MergeTokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Steps

from myna.core.errors import ModelFileError
from myna.prompts.pretokenizers import PRE_TOKENIZERS
from myna.prompts.special_match import Piece, SpecialMatcher
from myna.prompts.spm import SpmEncoder
from myna.prompts.vocabulary import Vocabulary, byte_alphabet


class UnknownPreTokenizer(ModelFileError):
    """Myna doesn't support this model's pre-tokenizer; the caller falls back to the engine's tokenizer."""


EngineTokenize = Callable[[str], list[int]]


class Tokenizer:
    """Thread-safe. Texts may be any `str`; lone surrogates become U+FFFD.

    `engine_tokenize` takes over tokenization (without special tokens) for a model with an unknown
    pre-tokenizer; without it, such a model raises `UnknownPreTokenizer`."""

    def __init__(self, vocabulary: Vocabulary, engine_tokenize: EngineTokenize | None = None) -> None:
        self._vocabulary = vocabulary
        self._longest = max(1, *(len(piece) for piece in vocabulary.pieces))
        texts = {
            token: vocabulary.texts[token].decode("utf-8", "replace") for token in vocabulary.special_ids
        }
        self._all_special = SpecialMatcher((text, token) for token, text in texts.items())
        self._user_defined = SpecialMatcher(
            (text, token) for token, text in texts.items() if not vocabulary.is_control(token)
        )
        self._spm = SpmEncoder(vocabulary.texts, vocabulary.scores) if vocabulary.model == "spm" else None
        self._engine: EngineTokenize | None = None
        self._bpe: MergeTokenizer | None = None
        try:
            self._bpe = _merge_tokenizer(vocabulary) if vocabulary.model == "bpe" else None
        except UnknownPreTokenizer:
            if engine_tokenize is None:
                raise
            self._engine = engine_tokenize
        self._lacks_bytes = self._bpe is not None and self._bpe.get_vocab_size() > len(vocabulary)

    @property
    def is_engines(self) -> bool:
        """Whether the engine's own tokenizer is used."""
        return self._engine is not None

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
        return -(-len(text) // self._longest)

    def _encode_rows(self, rows: Sequence[Sequence[Piece]]) -> list[list[int]]:
        if self._spm is not None:
            return [self._encode_spm(self._spm, row) for row in rows]
        words = [piece for row in rows for piece in row if isinstance(piece, str)]
        encoded = iter(self._merge(words))
        return [
            [token for piece in row for token in ([piece] if isinstance(piece, int) else next(encoded))]
            for row in rows
        ]

    def _merge(self, words: list[str]) -> list[list[int]]:
        if self._engine is not None:
            return [self._engine(word) for word in words]
        assert self._bpe is not None
        rows = [encoded.ids for encoded in self._bpe.encode_batch_fast(words, add_special_tokens=False)]
        if self._lacks_bytes:
            rows = [[token for token in row if token < len(self._vocabulary)] for row in rows]
        return rows

    def _encode_spm(self, spm: SpmEncoder, pieces: Sequence[Piece]) -> list[int]:
        ids: list[int] = []
        after_special = True
        for piece in pieces:
            if isinstance(piece, int):
                ids.append(piece)
                after_special = True
                continue
            prefix = " " if after_special and self._vocabulary.adds_space_prefix else ""
            ids += spm.encode(prefix + piece)
            after_special = False
        return ids


def _without_surrogates(text: str) -> str:
    """The text without lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _merge_tokenizer(vocabulary: Vocabulary) -> MergeTokenizer:
    rule = PRE_TOKENIZERS.get(vocabulary.pre_tokenizer)
    if rule is None:
        raise UnknownPreTokenizer(f"Myna does not support the pre-tokenizer {vocabulary.pre_tokenizer!r}.")
    ids = {text.decode("utf-8", "replace"): token for token, text in enumerate(vocabulary.texts)}
    if len(ids) != len(vocabulary):
        raise UnknownPreTokenizer("The vocabulary's tokens are not UTF-8.")
    for char in byte_alphabet().values():
        # A byte that is missing from the vocabulary produces no token, but still separates its neighbours.
        ids.setdefault(char, len(ids))
    # Only the first of equal merges counts.
    merges = list(dict.fromkeys(vocabulary.merges))
    pairs = []
    for merge in merges:
        # The first part may begin with a space, but is never empty.
        cut = merge.find(b" ", 1)
        if cut < 0:
            continue  # joins nothing
        pairs.append((merge[:cut].decode("utf-8", "replace"), merge[cut + 1 :].decode("utf-8", "replace")))
    try:
        tokenizer = MergeTokenizer(BPE(ids, pairs, ignore_merges=rule.keeps_whole_words))
    except Exception as exc:  # the library's own exception type, for a merge of unknown tokens
        raise UnknownPreTokenizer(f"The vocabulary's merges don't match its tokens ({exc}).") from exc
    steps = [Split(Regex(pattern), "isolated") for pattern in rule.patterns]
    tokenizer.pre_tokenizer = Steps([*steps, ByteLevel(add_prefix_space=False, use_regex=False)])
    return tokenizer
