"""The objects of the Responses API, with their keys in OpenAI's order."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from myna.api.responses.schema import ResponsesRequest
from myna.generation.json_parts import EncodedValue, LazyArray, encoded_if_long
from myna.generation.usage import TokenUsage

Json = dict[str, object]
OutputItems = Sequence[object] | LazyArray


class InputDetails(msgspec.Struct):
    """`cached_tokens` came from the prefix cache; writing to it costs nothing."""

    cache_write_tokens: int
    cached_tokens: int


class OutputDetails(msgspec.Struct):
    """`reasoning_tokens` belong to thoughts."""

    reasoning_tokens: int


class Usage(msgspec.Struct):
    """The tokens of a response; clients rely on both details."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


def to_usage(counts: TokenUsage) -> Usage:
    """The counts in OpenAI's format."""
    return Usage(
        counts.prompt_tokens,
        InputDetails(0, counts.cached_tokens),
        counts.completion_tokens,
        OutputDetails(counts.reasoning_tokens),
        counts.total_tokens,
    )


class ResponseError(msgspec.Struct):
    """Why a response failed."""

    code: str
    message: str


class Response(msgspec.Struct):
    """A response; its fields are in OpenAI's order. `conversation` is omitted if there is none. What it
    repeats of a large request is encoded (`with_encoded_echoes`)."""

    id: str
    object: str
    created_at: int
    status: str
    background: bool
    completed_at: int | None
    conversation: dict[str, str] | UnsetType
    error: ResponseError | None
    frequency_penalty: float
    incomplete_details: dict[str, str] | None
    instructions: str | EncodedValue | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    output: OutputItems
    parallel_tool_calls: bool
    presence_penalty: float
    previous_response_id: str | None
    prompt_cache_key: str | None
    prompt_cache_retention: str
    reasoning: dict[str, str | None]
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: Json | EncodedValue
    tool_choice: Any
    tools: list[Json] | EncodedValue
    top_logprobs: int
    top_p: float
    truncation: str
    usage: Usage | None
    user: str | None
    metadata: dict[str, str]


def new_response(
    request: ResponsesRequest, sent: Mapping[str, Any], *, id: str, created: int, model: str
) -> Response:
    """The response before anything is generated. `sent` is the request's body, `model` the name to echo."""
    text, reasoning = request.text_options, request.reasoning_options
    summary = "detailed" if reasoning.summary == "auto" else reasoning.summary
    return Response(
        id=id,
        object="response",
        created_at=created,
        status="in_progress",
        background=bool(request.background),
        completed_at=None,
        conversation=UNSET if request.conversation is None else {"id": request.conversation.id},
        error=None,
        frequency_penalty=request.frequency_penalty or 0.0,
        incomplete_details=None,
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        max_tool_calls=request.max_tool_calls,
        model=model,
        output=[],
        parallel_tool_calls=request.parallel_tool_calls is not False,
        presence_penalty=request.presence_penalty or 0.0,
        previous_response_id=request.previous_response_id,
        prompt_cache_key=request.prompt_cache_key,
        prompt_cache_retention=request.prompt_cache_retention or "in_memory",
        reasoning={"context": reasoning.context, "effort": reasoning.effort, "summary": summary},
        safety_identifier=request.safety_identifier,
        service_tier="auto",
        store=request.is_stored,
        temperature=1.0 if request.temperature is None else request.temperature,
        text={
            "format": {"type": "text"} if text.format is None else text.format.echoed(),
            "verbosity": text.verbosity or "medium",
        },
        tool_choice=sent.get("tool_choice") or "auto",
        tools=[tool.echoed() for tool in request.tools or ()],
        top_logprobs=request.top_logprobs or 0,
        top_p=1.0 if request.top_p is None else request.top_p,
        truncation=request.truncation or "disabled",
        usage=None,
        user=request.user,
        metadata=dict(request.metadata),
    )


# --- output items ---


class TextPart(msgspec.Struct):
    """The text of a message."""

    type: str
    annotations: list[str]
    logprobs: LazyArray | list[object]
    text: str


class OutputMessage(msgspec.Struct):
    """What the model says."""

    id: str
    type: str
    status: str
    content: list[TextPart]
    role: str


class ThoughtPart(msgspec.Struct):
    """The text of a thought (`reasoning_text`), or of its summary (`summary_text`)."""

    type: str
    text: str


class OutputReasoning(msgspec.Struct):
    """What the model thought."""

    id: str
    type: str
    content: list[ThoughtPart]
    encrypted_content: str | UnsetType
    summary: list[ThoughtPart]


class OutputFunctionCall(msgspec.Struct):
    """A call of a function; `arguments` is the model's own JSON, as text."""

    id: str
    type: str
    status: str
    arguments: str
    call_id: str
    name: str
    namespace: str | UnsetType


class OutputCustomCall(msgspec.Struct):
    """A call of a custom tool; `input` is text."""

    id: str
    type: str
    status: str
    call_id: str
    input: str
    name: str
    namespace: str | UnsetType


OutputItem = OutputMessage | OutputReasoning | OutputFunctionCall | OutputCustomCall


def with_encoded_echoes(response: Response) -> Response:
    """The same response, which is rendered in short parts however long its request was. Slow for a long
    one."""
    echoes: dict[str, Any] = {
        name: encoded_if_long(getattr(response, name))
        for name in ("instructions", "text", "tool_choice", "tools")
    }
    return replace(response, **echoes)


def has_encoded_echoes(response: Response) -> bool:
    return any(isinstance(value, EncodedValue) for value in msgspec.structs.astuple(response))
