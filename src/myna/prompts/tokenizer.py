"""Text to token ids, equal to llama.cpp's, built from the vocabulary in the model file."""

from collections.abc import Sequence

from tokenizers import Regex
from tokenizers import Tokenizer as MergeTokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Steps

from myna.core.errors import ModelFileError
from myna.prompts.pretokenizers import PRE_TOKENIZERS
from myna.prompts.special_match import SpecialMatcher
from myna.prompts.spm import SpmEncoder
from myna.prompts.vocabulary import TokenKind, Vocabulary, byte_alphabet


class UnknownPreTokenizer(ModelFileError):
    """Ours doesn't know how this model cuts words; the caller falls back to the engine's tokenizer."""


class Tokenizer:
    """Thread-safe. Raises `UnknownPreTokenizer` when built for a model whose cuts it doesn't know.

    Texts are any `str`; lone surrogates, which no client can mean, become U+FFFD.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._longest = max(len(piece) for piece in vocabulary.pieces)
        texts = {
            token: vocabulary.texts[token].decode("utf-8", "replace") for token in vocabulary.special_ids
        }
        self._all_special = SpecialMatcher((text, token) for token, text in texts.items())
        self._user_defined = SpecialMatcher(
            (text, token)
            for token, text in texts.items()
            if vocabulary.kinds[token] == TokenKind.USER_DEFINED
        )
        self._spm = SpmEncoder(vocabulary.texts, vocabulary.scores) if vocabulary.model == "spm" else None
        self._bpe = _merge_tokenizer(vocabulary) if vocabulary.model == "bpe" else None
        self._lacks_bytes = self._bpe is not None and self._bpe.get_vocab_size() > len(vocabulary)

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokens of the text, without BOS or EOS. With `parse_special`, control tokens written out in
        the text are those tokens; without, they are text like any other."""
        return self.encode_batch([text], parse_special=parse_special)[0]

    def encode_batch(self, texts: Sequence[str], *, parse_special: bool) -> list[list[int]]:
        """`encode` of each text; the merging of all releases the GIL."""
        matcher = self._all_special if parse_special else self._user_defined
        pieces = [matcher.cut(_whole(text)) for text in texts]
        if self._spm is not None:
            return [self._encode_spm(self._spm, row) for row in pieces]
        assert self._bpe is not None
        words = [piece for row in pieces for piece in row if isinstance(piece, str)]
        encoded = iter(self._bpe.encode_batch_fast(words, add_special_tokens=False)) if words else iter(())
        rows: list[list[int]] = []
        for row in pieces:
            ids: list[int] = []
            for piece in row:
                ids += [piece] if isinstance(piece, int) else next(encoded).ids
            if self._lacks_bytes:
                ids = [token for token in ids if token < len(self._vocabulary)]
            rows.append(ids)
        return rows

    def has_control_text(self, text: str) -> bool:
        """Whether the text holds what `parse_special` would read as a special token."""
        return _whole(text) in self._all_special

    def least_tokens(self, text: str) -> int:
        """No tokenisation of the text can be shorter: refuses an absurd prompt without tokenising it."""
        return -(-len(text) // self._longest)

    def _encode_spm(self, spm: SpmEncoder, pieces: Sequence[str | int]) -> list[int]:
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


def _whole(text: str) -> str:
    """The text without lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _merge_tokenizer(vocabulary: Vocabulary) -> MergeTokenizer:
    rule = PRE_TOKENIZERS.get(vocabulary.pre_tokenizer)
    if rule is None:
        raise UnknownPreTokenizer(
            f"The pre-tokenizer {vocabulary.pre_tokenizer!r} is not one that Myna knows."
        )
    ids = {text.decode("utf-8", "replace"): token for token, text in enumerate(vocabulary.texts)}
    if len(ids) != len(vocabulary):
        raise UnknownPreTokenizer("The vocabulary's tokens are not UTF-8.")
    for char in byte_alphabet().values():
        # A byte that the vocabulary lacks vanishes, but still keeps its neighbours from merging.
        ids.setdefault(char, len(ids))
    # Of two equal merges the first counts.
    merges = list(dict.fromkeys(vocabulary.merges))
    pairs = []
    for merge in merges:
        # The first part may itself begin with a space, never be empty.
        cut = merge.find(b" ", 1)
        pairs.append((merge[:cut].decode("utf-8", "replace"), merge[cut + 1 :].decode("utf-8", "replace")))
    try:
        tokenizer = MergeTokenizer(BPE(ids, pairs, ignore_merges=rule.keeps_whole_words))
    except Exception as exc:  # the library's own type; a merge of unknown tokens
        raise UnknownPreTokenizer(f"The vocabulary's merges don't fit its tokens ({exc}).") from exc
    steps = [Split(Regex(pattern), "isolated") for pattern in rule.patterns]
    tokenizer.pre_tokenizer = Steps([*steps, ByteLevel(add_prefix_space=False, use_regex=False)])
    return tokenizer
