"""Whole chat completions: accumulates events to OpenAI's response body."""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from myna.api.chat.response_spec import ResponseSpec
from myna.api.chat.usage import Usage, to_usage
from myna.core.events import Event
from myna.generation.answer import Answer, ChoiceAnswer, ParsedToolCall
from myna.generation.json_parts import LazyArray, json_parts
from myna.generation.logprobs import per_slice, token_entry
from myna.wire.ids import call_id

_CHOICES_PER_SLICE: Final = 8


class ResponseFunctionCall(msgspec.Struct):
    """`arguments` is the model's own JSON, as text."""

    name: str
    arguments: str


class ResponseCustomCall(msgspec.Struct):
    """A call of a custom tool; `input` is text."""

    name: str
    input: str


class ResponseToolCall(msgspec.Struct):
    """A tool call in OpenAI's format: of a function or of a custom tool."""

    id: str
    type: str
    function: ResponseFunctionCall | UnsetType = UNSET
    custom: ResponseCustomCall | UnsetType = UNSET


class ResponseMessage(msgspec.Struct):
    """The assistant's message. Calls and `reasoning_content` are omitted if there are none."""

    role: str
    content: str | None
    reasoning_content: str | UnsetType
    tool_calls: list[ResponseToolCall] | UnsetType
    function_call: ResponseFunctionCall | UnsetType
    refusal: str | None
    annotations: list[str]


class ChoiceLogprobs(msgspec.Struct):
    """The log-probabilities of a choice."""

    content: LazyArray
    refusal: None = None


class Choice(msgspec.Struct):
    """One choice; its fields are in OpenAI's order."""

    index: int
    message: ResponseMessage
    logprobs: ChoiceLogprobs | None
    finish_reason: str


class ChatCompletion(msgspec.Struct):
    """The response body."""

    id: str
    object: str
    created: int
    model: str
    choices: LazyArray
    usage: Usage
    service_tier: str
    system_fingerprint: str | None


class ChatCompletionAccumulator:
    """Folds events into one response body."""

    def __init__(self, spec: ResponseSpec) -> None:
        self._spec = spec
        self._answer = Answer(spec.num_choices, spec.new_reader)

    def feed(self, event: Event) -> None:
        """Process the next event."""
        self._answer.feed(event)

    def parts(self) -> Iterator[bytes]:
        """The body's JSON, indented as OpenAI's."""
        yield from json_parts(self.completion(), is_indented=True)
        yield b"\n"

    def completion(self) -> ChatCompletion:
        """The completion, whose choices are rendered lazily."""
        spec = self._spec
        choices = list(enumerate(self._answer.choices))
        return ChatCompletion(
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
        message = ResponseMessage(
            role="assistant",
            content=(content or None) if calls else content,
            reasoning_content=choice.thought or UNSET,
            tool_calls=UNSET,
            function_call=UNSET,
            refusal=None,
            annotations=[],
        )
        if calls and self._spec.has_functions:
            message.function_call = ResponseFunctionCall(calls[0].name, calls[0].text)
        elif calls:
            message.tool_calls = [self._call(index, call) for call in calls]
        logprobs = None
        if self._spec.wants_logprobs:
            entries = LazyArray(choice.logprobs, token_entry, per_slice(choice.logprobs))
            logprobs = ChoiceLogprobs(entries)
        reason = self._spec.finish_reason(choice.reason, has_called=choice.has_called)
        return Choice(index, message, logprobs, reason)

    def _call(self, choice: int, call: ParsedToolCall) -> ResponseToolCall:
        id = call_id(self._spec.id, choice, call.index)
        if call.is_custom:
            return ResponseToolCall(id, "custom", custom=ResponseCustomCall(call.name, call.text))
        return ResponseToolCall(id, "function", ResponseFunctionCall(call.name, call.text))
