"""The whole ending: a fold over the same events as the chunks."""

from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET, UnsetType

from myna.api.chat.response_spec import ResponseSpec
from myna.api.chat.usage import Usage, to_usage
from myna.core.events import ChoiceDone, Event, TextDelta
from myna.generation.logprobs import ChoiceLogprobs, TokenEntry, token_entries
from myna.generation.tool_parsing import ParsedPiece, ToolCallParser
from myna.generation.usage import UsageCounter
from myna.prompts.tool_reader import CallArguments, CallBegun, Said
from myna.serving.ids import call_id


class FunctionCall(msgspec.Struct):
    """`arguments` is the model's own JSON, as text."""

    name: str
    arguments: str


class CustomCall(msgspec.Struct):
    """The same of a custom tool: text."""

    name: str
    input: str


class ToolCall(msgspec.Struct):
    """A call as OpenAI writes it: of a function or of a custom tool."""

    id: str
    type: str
    function: FunctionCall | UnsetType = UNSET
    custom: CustomCall | UnsetType = UNSET


class Message(msgspec.Struct):
    """The answer. Calls are not there at all without one, nor `reasoning_content` without a thought."""

    role: str
    content: str | None
    reasoning_content: str | UnsetType
    tool_calls: list[ToolCall] | UnsetType
    function_call: FunctionCall | UnsetType
    refusal: str | None
    annotations: list[str]


class Choice(msgspec.Struct):
    """One answer; its fields stand as OpenAI writes them."""

    index: int
    message: Message
    logprobs: ChoiceLogprobs | None
    finish_reason: str


class Completion(msgspec.Struct):
    """The body."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    service_tier: str
    system_fingerprint: str | None


@dataclass(slots=True)
class _Growing:
    """A choice while it grows."""

    reader: ToolCallParser
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    logprobs: list[TokenEntry] = field(default_factory=list)
    calls: list[tuple[CallBegun, list[str]]] = field(default_factory=list)
    reason: str = ""

    def take(self, reads: list[ParsedPiece]) -> None:
        """Add the next pieces."""
        for piece, entries in reads:
            match piece:
                case Said():
                    self.texts.append(piece.text)
                    self.logprobs += token_entries(entries)
                case CallBegun():
                    self.calls.append((piece, []))
                case CallArguments():
                    self.calls[-1][1].append(piece.text)


class AnswerFold:
    """Events in, one body out."""

    def __init__(self, spec: ResponseSpec) -> None:
        self._spec = spec
        self._choices = [
            _Growing(ToolCallParser(spec.tool_format, spec.tools)) for _ in range(spec.num_choices)
        ]
        self._usage = UsageCounter()

    def feed(self, event: Event) -> None:
        """Take the next event in."""
        match event:
            case TextDelta():
                choice = self._choices[event.choice]
                if event.is_thought:
                    choice.thoughts.append(event.text)
                else:
                    choice.take(choice.reader.feed(event.text, event.logprobs))
            case ChoiceDone():
                choice = self._choices[event.choice]
                choice.take(choice.reader.end())
                choice.reason = self._spec.finish_reason(event.reason, has_called=bool(choice.calls))
            case _:
                self._usage.feed(event)

    def body(self) -> bytes:
        """The answer's JSON, laid out as OpenAI does."""
        spec = self._spec
        answer = Completion(
            spec.id,
            "chat.completion",
            spec.created,
            spec.model,
            [self._choice(index, choice) for index, choice in enumerate(self._choices)],
            to_usage(self._usage.total()),
            spec.service_tier,
            spec.fingerprint,
        )
        return msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n"

    def _choice(self, index: int, choice: _Growing) -> Choice:
        content, thought = "".join(choice.texts), "".join(choice.thoughts)
        message = Message(
            role="assistant",
            content=(content or None) if choice.calls else content,
            reasoning_content=thought or UNSET,
            tool_calls=UNSET,
            function_call=UNSET,
            refusal=None,
            annotations=[],
        )
        if choice.calls and self._spec.has_functions:
            call, arguments = choice.calls[0]
            message.function_call = FunctionCall(call.name, "".join(arguments))
        elif choice.calls:
            message.tool_calls = [self._call(index, call, "".join(text)) for call, text in choice.calls]
        logprobs = ChoiceLogprobs(choice.logprobs) if self._spec.wants_logprobs else None
        return Choice(index, message, logprobs, choice.reason)

    def _call(self, choice: int, call: CallBegun, text: str) -> ToolCall:
        id = call_id(self._spec.id, choice, call.index)
        if call.is_custom:
            return ToolCall(id, "custom", custom=CustomCall(call.name, text))
        return ToolCall(id, "function", FunctionCall(call.name, text))
