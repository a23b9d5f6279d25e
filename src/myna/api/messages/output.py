"""The content blocks of an answer, as its events arrive: the same for a stream and for a whole message."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from myna.core.events import ChoiceDone, TextDelta
from myna.generation.tool_parsing import ParsedPiece, ToolCallParser
from myna.prompts.call_formats.base import CallArguments, CallReader, CallStarted, TextPiece

Kind = Literal["text", "thinking", "tool_use"]


@dataclass(frozen=True, slots=True)
class BlockStart:
    """A block begins. Calls have a name, and are numbered from 0."""

    kind: Kind
    name: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class BlockText:
    """More of the block that began last: text, thinking, or the JSON of a call's input."""

    text: str


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """The block that began last is complete."""


Step = BlockStart | BlockText | BlockEnd
_END: Final = BlockEnd()


class OutputBlocks:
    """Divides one answer into blocks. White space alone, as models write it around thoughts and calls, is
    left out: Anthropic's API, with which clients may continue, refuses such a block."""

    def __init__(self, reader: CallReader | None) -> None:
        self._parser = ToolCallParser(reader)
        self._open: Kind | None = None
        self._blank = ""
        self._num_calls = 0

    @property
    def has_called(self) -> bool:
        """Whether all its calls are complete, and there is one."""
        return self._num_calls > 0 and not self._parser.is_in_call

    def feed(self, event: TextDelta) -> Iterator[Step]:
        """The next text."""
        if event.is_thought:
            yield from self._begin("thinking")
            yield BlockText(event.text)
        else:
            yield from self._parsed(self._parser.feed(event.text, ()))

    def end(self, event: ChoiceDone) -> Iterator[Step]:
        """The answer is complete."""
        yield from self._parsed(self._parser.end(event.reason))
        yield from self._end()

    def _parsed(self, parsed: list[ParsedPiece]) -> Iterator[Step]:
        for piece, _ in parsed:
            match piece:
                case TextPiece():
                    yield from self._text(piece.text)
                case CallStarted():
                    yield from self._end()
                    self._open = "tool_use"
                    yield BlockStart("tool_use", piece.name, self._num_calls)
                    self._num_calls += 1
                case CallArguments():
                    yield BlockText(piece.text)

    def _text(self, text: str) -> Iterator[Step]:
        if self._open != "text":
            text = self._blank + text
            self._blank = ""
            if not text.strip():
                self._blank = text
                return
        yield from self._begin("text")
        yield BlockText(text)

    def _begin(self, kind: Kind) -> Iterator[Step]:
        """Begin a block of that kind, unless it is open."""
        if self._open != kind:
            yield from self._end()
            self._open = kind
            yield BlockStart(kind)

    def _end(self) -> Iterator[Step]:
        self._blank = ""
        if self._open is not None:
            self._open = None
            yield _END
