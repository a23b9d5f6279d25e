"""Whole chat completions: from the events to OpenAI's body."""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from myna.api.chat.response_spec import ResponseSpec
from myna.api.chat.usage import Usage, to_usage
from myna.core.events import Event
from myna.generation.answer import Answer, AnswerCall, ChoiceAnswer
from myna.generation.json_parts import LazyArray, json_parts
from myna.generation.logprobs import per_slice, token_entry
from myna.wire.ids import call_id

_CHOICES_PER_SLICE: Final = 8


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


class ChoiceLogprobs(msgspec.Struct):
    """Those of a choice."""

    content: LazyArray
    refusal: None = None


class Choice(msgspec.Struct):
    """One answer; its fields are in OpenAI's order."""

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
    choices: LazyArray
    usage: Usage
    service_tier: str
    system_fingerprint: str | None


class AnswerFold:
    """Events in, one body out."""

    def __init__(self, spec: ResponseSpec) -> None:
        self._spec = spec
        self._answer = Answer(spec.num_choices, spec.tool_format, spec.tools)

    def feed(self, event: Event) -> None:
        """Take the next event in."""
        self._answer.feed(event)

    def parts(self) -> Iterator[bytes]:
        """The answer's JSON, laid out as OpenAI does."""
        yield from json_parts(self.completion(), is_indented=True)
        yield b"\n"

    def completion(self) -> Completion:
        """The answer, whose choices are rendered when they are asked for."""
        spec = self._spec
        choices = list(enumerate(self._answer.choices))
        return Completion(
            spec.id,
            "chat.completion",
            spec.created,
            spec.model,
            LazyArray(choices, self._choice, _CHOICES_PER_SLICE),
            to_usage(self._answer.usage.total()),
            spec.service_tier,
            spec.fingerprint,
        )

    def _choice(self, numbered: tuple[int, ChoiceAnswer]) -> Choice:
        index, choice = numbered
        content, calls = choice.text, choice.calls
        message = Message(
            role="assistant",
            content=(content or None) if calls else content,
            reasoning_content=choice.thought or UNSET,
            tool_calls=UNSET,
            function_call=UNSET,
            refusal=None,
            annotations=[],
        )
        if calls and self._spec.has_functions:
            message.function_call = FunctionCall(calls[0].name, calls[0].text)
        elif calls:
            message.tool_calls = [self._call(index, call) for call in calls]
        logprobs = None
        if self._spec.wants_logprobs:
            entries = LazyArray(choice.logprobs, token_entry, per_slice(choice.logprobs))
            logprobs = ChoiceLogprobs(entries)
        reason = self._spec.finish_reason(choice.reason, has_called=bool(calls))
        return Choice(index, message, logprobs, reason)

    def _call(self, choice: int, call: AnswerCall) -> ToolCall:
        id = call_id(self._spec.id, choice, call.index)
        if call.is_custom:
            return ToolCall(id, "custom", custom=CustomCall(call.name, call.text))
        return ToolCall(id, "function", FunctionCall(call.name, call.text))
