"""Whole answers: folds the events of a generation into values that each endpoint renders in its own
format."""

from collections.abc import Callable
from dataclasses import dataclass, field

from myna.core.events import ChoiceDone, Event, FinishReason, TextDelta
from myna.generation.logprobs import PackedLogprobs
from myna.generation.tool_parsing import ParsedPiece, ToolCallParser
from myna.generation.usage import UsageCounter
from myna.prompts.call_formats.base import CallArguments, CallReader, CallStarted, TextPiece


@dataclass(frozen=True, slots=True)
class ParsedToolCall:
    """A tool call in an answer. `text` is the arguments' JSON as the model wrote it, or a custom tool's
    input."""

    index: int
    name: str
    is_custom: bool
    text: str


@dataclass(slots=True)
class ChoiceAnswer:
    """One choice, during and after its generation. `logprobs` are those of the content's tokens."""

    parser: ToolCallParser
    logprobs: PackedLogprobs = field(default_factory=PackedLogprobs)
    reason: FinishReason = "stop"
    _texts: list[str] = field(default_factory=list)
    _thoughts: list[str] = field(default_factory=list)
    _calls: list[tuple[CallStarted, list[str]]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def has_called(self) -> bool:
        """Whether all its calls are complete, and there is one."""
        return bool(self._calls) and not self.parser.is_in_call

    @property
    def thought(self) -> str:
        return "".join(self._thoughts)

    @property
    def calls(self) -> list[ParsedToolCall]:
        return [
            ParsedToolCall(call.index, call.name, call.is_custom, "".join(texts))
            for call, texts in self._calls
        ]

    def feed(self, event: TextDelta) -> None:
        """Append the next text."""
        if event.is_thought:
            self._thoughts.append(event.text)
        else:
            self._add(self.parser.feed(event.text, event.logprobs))

    def end(self, reason: FinishReason) -> None:
        """Finish the choice."""
        self._add(self.parser.end(reason))
        self.reason = reason

    def _add(self, parsed: list[ParsedPiece]) -> None:
        for piece, entries in parsed:
            match piece:
                case TextPiece():
                    self._texts.append(piece.text)
                    self.logprobs.extend(entries)
                case CallStarted():
                    self._calls.append((piece, []))
                case CallArguments():
                    self._calls[-1][1].append(piece.text)


class Answer:
    """The answer to one prompt. Log-probabilities are kept unrendered, since rendering them takes long."""

    def __init__(self, num_choices: int, new_reader: Callable[[], CallReader | None]) -> None:
        self.choices = [ChoiceAnswer(ToolCallParser(new_reader())) for _ in range(num_choices)]
        self.usage = UsageCounter()

    def feed(self, event: Event) -> None:
        """Process the next event."""
        match event:
            case TextDelta():
                self.choices[event.choice].feed(event)
            case ChoiceDone():
                self.choices[event.choice].end(event.reason)
            case _:
                self.usage.feed(event)
