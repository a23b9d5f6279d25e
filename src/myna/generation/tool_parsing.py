"""Parses a choice's text into pieces: content with its log-probabilities, and tool calls."""

from collections.abc import Sequence
from typing import NamedTuple

from myna.core.conversation import ToolSpec
from myna.core.events import TokenLogprob
from myna.core.renderer import ToolFormat
from myna.prompts.tool_reader import CallReader, Piece, TextPiece


class ParsedPiece(NamedTuple):
    """A piece with the log-probabilities of its tokens; calls have none, as at OpenAI."""

    piece: Piece
    entries: Sequence[TokenLogprob]


class ToolCallParser:
    """Parses one choice. Without a format, all text is content."""

    def __init__(self, form: ToolFormat | None, tools: Sequence[ToolSpec]) -> None:
        self._reader = CallReader(form, tools) if form is not None else None
        self._held: list[TokenLogprob] = []

    def feed(self, text: str, entries: Sequence[TokenLogprob]) -> list[ParsedPiece]:
        """The pieces completed by the next text."""
        if self._reader is None:
            return [ParsedPiece(TextPiece(text), entries)]
        self._held += entries
        return self._with_entries(self._reader.feed(text))

    def end(self) -> list[ParsedPiece]:
        """The pieces of text that was held back."""
        return [] if self._reader is None else self._with_entries(self._reader.end())

    def _with_entries(self, pieces: list[Piece]) -> list[ParsedPiece]:
        """Entries held back with their text go to the next content piece, or are dropped with a call."""
        parsed: list[ParsedPiece] = []
        for piece in pieces:
            parsed.append(ParsedPiece(piece, self._held if isinstance(piece, TextPiece) else ()))
            self._held = []
        return parsed
