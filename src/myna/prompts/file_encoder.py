"""Texts to tokens by a `tokenizer.json`, with the library that the file was made for."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from tokenizers import Tokenizer as FileTokenizer

from myna.prompts.model_folder import JsonFolder
from myna.prompts.special_match import Piece
from myna.prompts.token_pieces import SPACE_MARK
from myna.prompts.tokenizer import joined
from myna.prompts.tokenizer_file import MISSING

_TOKENIZER: Final = "tokenizer.json"
_SPACES: Final = (" ", SPACE_MARK.decode())
# What `Tokenizer` does itself, or Myna doesn't want.
_LEFT_OUT: Final = ("added_tokens", "post_processor", "truncation", "padding")


class _Surrounding(msgspec.Struct):
    """A part of a `post_processor`: what surrounds a text."""

    single: list[dict[str, Any]] = []
    processors: list["_Surrounding"] = []


class _Steps(msgspec.Struct):
    pre_tokenizer: dict[str, Any] | None = None
    post_processor: _Surrounding | None = None


class FileEncoder:
    """A `prompts.tokenizer.RowEncoder`. Merging releases the GIL."""

    def __init__(self, folder: JsonFolder) -> None:
        """Raises `ModelFileError`."""
        parts, steps = folder.decoded(_TOKENIZER, dict[str, msgspec.Raw]), _read(folder).pre_tokenizer
        assert parts is not None
        for name in _LEFT_OUT:
            parts.pop(name, None)
        # The mark belongs at the start of a whole text, and what follows a special token isn't one.
        self._marks_start = any(step.get("prepend_scheme") == "first" for step in _flat(steps))
        if self._marks_start:
            for step in _flat(steps):
                if "prepend_scheme" in step:
                    step["prepend_scheme"] = "never"
            parts["pre_tokenizer"] = msgspec.Raw(msgspec.json.encode(steps))
        try:
            self._tokenizer = FileTokenizer.from_str(msgspec.json.encode(parts).decode())
        except Exception as exc:  # the library's own exception type
            raise folder.error(f"its tokenizer.json can't be used ({exc})") from exc

    def encode_rows(self, rows: Sequence[Sequence[Piece]]) -> list[list[int]]:
        if self._marks_start:
            rows = [_marked(row) for row in rows]
        texts = [piece for row in rows for piece in row if isinstance(piece, str)]
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = iter([one.ids for one in encoded])
        return [joined(row, ids) for row in rows]


def begins_with(folder: JsonFolder) -> str:
    """The text of the special token before each text; "" for none."""
    processor = _read(folder).post_processor
    for one in () if processor is None else (processor, *processor.processors):
        first = one.single[0].get("SpecialToken") if one.single else None
        if isinstance(first, dict):
            return str(first.get("id", ""))
    return ""


def _flat(step: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A pre-tokenizer and those that it consists of."""
    if step is not None:
        yield step
        yield from (inner for inner in step.get("pretokenizers", ()) if isinstance(inner, dict))


def _marked(row: Sequence[Piece]) -> Sequence[Piece]:
    if row and isinstance(row[0], str) and not row[0].startswith(_SPACES):
        return [f" {row[0]}", *row[1:]]
    return row


def _read(folder: JsonFolder) -> _Steps:
    steps = folder.decoded(_TOKENIZER, _Steps)
    if steps is None:
        raise folder.error(MISSING)
    return steps
