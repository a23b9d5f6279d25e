"""What a worker needs of a vocabulary to read a model's output."""

from collections.abc import Sequence
from typing import Final

from myna.decoding.token_table import TokenTable
from myna.prompts.call_formats.table import FORMATS
from myna.prompts.thinking import KNOWN_MARKS
from myna.prompts.token_pieces import TokenKind, tokens_of
from myna.prompts.vocabulary import Vocabulary

_THOUGHT_MARKS: Final = {mark.encode() for known in KNOWN_MARKS for mark in (known.begin, known.end)}
_CALL_LITERALS: Final = frozenset(text.encode() for form in FORMATS.values() for text in form.literals)


def control_tokens(vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
    """The control tokens: those whose text is never shown, and those that are marks."""
    special = tokens_of(vocabulary.kinds, TokenKind.CONTROL, TokenKind.UNKNOWN)
    marks = [token for token in special if is_mark(vocabulary.texts[token])]
    return sorted(set(special).difference(marks)), marks


def is_mark(text: bytes) -> bool:
    """Whether a control token's text is shown, since the output can't be parsed without it: a mark of
    thoughts, or a part of a call format's marks."""
    return text in _THOUGHT_MARKS or (len(text) > 2 and any(text in literal for literal in _CALL_LITERALS))


def token_table(
    pieces: Sequence[bytes], controls: Sequence[int], ends: frozenset[int], size: int
) -> TokenTable:
    """For rows of logits of that size. Control tokens have no text to show."""
    data = padded(pieces, size)
    shown = list(data)
    for token in controls:
        if token < size:
            shown[token] = b""
    return TokenTable(data, shown, ends)


def padded(pieces: Sequence[bytes], size: int) -> list[bytes]:
    """Extended or cut to the length of a row of logits."""
    return [*pieces[:size], *[b""] * (size - len(pieces))]
