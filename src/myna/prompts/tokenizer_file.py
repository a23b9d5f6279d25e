"""A `tokenizer.json`: the parts that describe a vocabulary."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import numpy as np

from myna.prompts.model_folder import JsonFolder
from myna.prompts.token_pieces import TokenKind

MAX_TOKENS: Final = 1 << 20
MISSING: Final = (
    "it has no tokenizer.json, which `AutoTokenizer.from_pretrained(...).save_pretrained(...)` writes"
)


class AddedToken(msgspec.Struct):
    """A token that is matched as a whole in text, `lstrip` and `rstrip` with the white space before and
    after it."""

    id: int
    content: str
    special: bool = False
    lstrip: bool = False
    rstrip: bool = False


class _Model(msgspec.Struct):
    vocab: msgspec.Raw
    type: str | None = None
    merges: list[str | tuple[str, str]] = []
    unk_token: str | None = None
    unk_id: int | None = None
    byte_fallback: bool | None = None


class Normalizer(msgspec.Struct):
    """What happens to text first, as far as BERT's and XLM-RoBERTa's vocabularies need it."""

    type: str
    normalizers: list["Normalizer"] = []
    precompiled_charsmap: str | None = None
    lowercase: bool | None = None
    strip_accents: bool | None = None


class PreTokenizer(msgspec.Struct):
    """How text is cut into words, or several such steps."""

    type: str
    pretokenizers: list["PreTokenizer"] = []


class _File(msgspec.Struct):
    model: _Model
    pre_tokenizer: PreTokenizer | None = None
    added_tokens: list[AddedToken] = []
    normalizer: Normalizer | None = None


class TokenizerFile:
    """The parts of a `tokenizer.json` that all kinds of vocabulary need. Raises `ModelFileError`."""

    def __init__(
        self, folder: JsonFolder, kind: str, num_tokens: int, *, may_have_more: bool = False
    ) -> None:
        """`num_tokens` have weights; with `may_have_more`, the file may list others, which can't be used."""
        self.folder = folder
        file = _read(folder)
        if file.model.type not in (None, kind):
            raise folder.error(f"its tokenizer is a {file.model.type[:40]} one, not {kind}")
        self.model, self.normalizer, self.pre_tokenizer = file.model, file.normalizer, file.pre_tokenizer
        self.scores = np.zeros(num_tokens, np.float32)
        self.ids = self._scored() if kind == "Unigram" else self._numbered()
        if may_have_more:
            highest = max((*self.ids.values(), *(token.id for token in file.added_tokens)), default=0)
            num_tokens = max(num_tokens, highest + 1)
        if num_tokens > MAX_TOKENS or not all(0 <= number < num_tokens for number in self.ids.values()):
            raise folder.error(f"tokenizer.json has tokens beyond the {num_tokens} that have weights")
        self.kinds = np.full(num_tokens, TokenKind.UNUSED, np.int32)
        self.kinds[list(self.ids.values())] = TokenKind.NORMAL
        self.added = [token for token in file.added_tokens if 0 <= token.id < num_tokens]
        for token in self.added:
            self.ids[token.content] = token.id
            self.kinds[token.id] = TokenKind.CONTROL if token.special else TokenKind.USER_DEFINED
        self.texts = [f"[PAD{number}]" for number in range(num_tokens)]
        for text, number in self.ids.items():
            self.texts[number] = text

    def _numbered(self) -> dict[str, int]:
        return self.folder.decode("tokenizer.json", self.model.vocab, dict[str, int])

    def _scored(self) -> dict[str, int]:
        """Tokens in order, each with its score."""
        pairs = self.folder.decode("tokenizer.json", self.model.vocab, list[tuple[str, float]])
        scores = np.array([score for _, score in pairs[: len(self.scores)]], np.float32)
        self.scores[: len(scores)] = scores
        return {text: number for number, (text, _) in enumerate(pairs)}

    def set_unknown(self) -> None:
        """Mark the token of what has no other."""
        number = self.ids.get(self.model.unk_token or "", self.model.unk_id)
        if number is not None and 0 <= number < len(self.kinds):
            self.kinds[number] = TokenKind.UNKNOWN

    def special(self, names: Mapping[str, str]) -> dict[str, int]:
        """The ids of special tokens: GGUF's names to those of `tokenizer_config.json`."""
        config = self.folder.json("tokenizer_config.json") or self.folder.json("special_tokens_map.json")
        found: dict[str, int] = {}
        for ours, theirs in names.items():
            text = config.get(theirs)
            text = text.get("content") if isinstance(text, dict) else text
            if isinstance(text, str) and text in self.ids:
                found[f"tokenizer.ggml.{ours}_token_id"] = self.ids[text]
        return found

    def merges(self) -> Iterator[tuple[str, str]]:
        """The pairs of a byte-pair vocabulary, in either of their two notations."""
        for pair in self.model.merges:
            parts = tuple(pair.split(" ", 1)) if isinstance(pair, str) else pair
            if len(parts) != 2:
                raise self.folder.error("tokenizer.json has a merge that isn't of two tokens")
            yield parts


def kind_of_model(folder: JsonFolder) -> str:
    """Such as "BPE" or "Unigram"; empty if the file doesn't say. Raises `ModelFileError`."""
    return _read(folder).model.type or ""


def _read(folder: JsonFolder) -> _File:
    file = folder.decoded("tokenizer.json", _File)
    if file is None:
        raise folder.error(MISSING)
    return file
