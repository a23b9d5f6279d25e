"""Parses a choice's text into pieces: content with its log-probabilities, and tool calls."""

from collections.abc import Sequence
from typing import NamedTuple

from myna.core.events import FinishReason, TokenLogprob
from myna.prompts.call_formats.base import CallReader, Piece, TextPiece


class ParsedPiece(NamedTuple):
    """A piece with the log-probabilities of its tokens; calls have none, as at OpenAI."""

    piece: Piece
    entries: Sequence[TokenLogprob]


class ToolCallParser:
    """Parses one choice. Without a reader, all text is content."""

    def __init__(self, reader: CallReader | None) -> None:
        self._reader = reader
        self._held: list[TokenLogprob] = []

    def feed(self, text: str, entries: Sequence[TokenLogprob]) -> list[ParsedPiece]:
        """The pieces completed by the next text."""
        if self._reader is None:
            return [ParsedPiece(TextPiece(text), entries)]
        self._held += entries
        return self._with_entries(self._reader.feed(text))

    def end(self, reason: FinishReason) -> list[ParsedPiece]:
        """The pieces of text that was held back."""
        if self._reader is None:
            return []
        return self._with_entries(self._reader.end(is_cut=reason == "length"))

    @property
    def is_in_call(self) -> bool:
        """Whether the answer so far ends within a call."""
        return self._reader is not None and self._reader.is_in_call

    def _with_entries(self, pieces: list[Piece]) -> list[ParsedPiece]:
        """Entries held back with their text go to the next content piece, or are dropped with a call."""
        parsed: list[ParsedPiece] = []
        for piece in pieces:
            parsed.append(ParsedPiece(piece, self._held if isinstance(piece, TextPiece) else ()))
            self._held = []
        return parsed
