"""One choice's answer as pieces: its text and the tools that it calls, with their log-probabilities."""

from collections.abc import Sequence
from typing import NamedTuple

from myna.core.conversation import ToolSpec
from myna.core.events import TokenLogprob
from myna.core.renderer import ToolFormat
from myna.prompts.tool_reader import CallReader, Piece, TextPiece


class ParsedPiece(NamedTuple):
    """A piece, and the entries of the tokens that it came from; calls have none, as at OpenAI."""

    piece: Piece
    entries: Sequence[TokenLogprob]


class ToolCallParser:
    """Of one choice. Without a format every text is content as it is."""

    def __init__(self, form: ToolFormat | None, tools: Sequence[ToolSpec]) -> None:
        self._reader = CallReader(form, tools) if form is not None else None
        self._held: list[TokenLogprob] = []

    def feed(self, text: str, entries: Sequence[TokenLogprob]) -> list[ParsedPiece]:
        """The pieces of the answer's next text."""
        if self._reader is None:
            return [ParsedPiece(TextPiece(text), entries)]
        self._held += entries
        return self._with_entries(self._reader.feed(text))

    def end(self) -> list[ParsedPiece]:
        """What was held back."""
        return [] if self._reader is None else self._with_entries(self._reader.end())

    def _with_entries(self, pieces: list[Piece]) -> list[ParsedPiece]:
        """Entries wait with their text; they go with the first content, or with the call."""
        parsed: list[ParsedPiece] = []
        for piece in pieces:
            parsed.append(ParsedPiece(piece, self._held if isinstance(piece, TextPiece) else ()))
            self._held = []
        return parsed
