"""The schemas of requests to the Responses API, in OpenAI's order of checks. Know no model and no HTTP."""

from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, StrictInt, model_validator

from myna.api.responses.tools import ToolChoiceField, Tools
from myna.generation.reasoning import EFFORTS
from myna.wire import fields, validation_errors
from myna.wire.fields import (
    MAX_LABEL,
    MAX_OPTIONS,
    Flag,
    Fraction,
    Label,
    Metadata,
    Penalty,
    Temperature,
    Text,
    array,
    integer,
    one_of,
    small_object,
)
from myna.wire.response_items import Input, OptionalInput, ToolName
from myna.wire.validation import Items, WireModel

INCLUDES: Final = (
    "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
    "message.input_image.image_url", "computer_call_output.output.image_url",
    "code_interpreter_call.outputs", "reasoning.encrypted_content", "message.output_text.logprobs",
)  # fmt: skip
LEAST_TOKENS: Final = 16
MAX_TOP_LOGPROBS: Final = 20
SUMMARY_TOKENS: Final = 2048
"""The token limit of a summary."""
_TIERS: Final = ("auto", "default", "fast", "flex", "priority")
_EFFORT_NOUN: Final = f"one of one of {validation_errors.quoted_list(EFFORTS, 'or')} or integer"
_INCLUDE_NOUN: Final = "an array of one of " + validation_errors.quoted_list(
    [f"{name[:3]}...{name[-3:]}" for name in INCLUDES], "or"
)


class AnswerFormat(WireModel):
    """The format that the answer must have."""

    type: Annotated[str, one_of("json_object", "text", "json_schema")]
    name: ToolName | None = None
    description: Text = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: Flag = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        for key, value in (("name", self.name), ("schema", self.schema_)):
            if self.type == "json_schema" and value is None:
                raise validation_errors.missing().in_validator(key)
        if self.type != "json_schema" and (extra := self.model_fields_set - {"type"}):
            raise validation_errors.unknown().in_validator(sorted(extra)[0].removesuffix("_"))
        return self

    def echoed(self) -> dict[str, object]:
        if self.type != "json_schema":
            return {"type": self.type}
        return {
            "type": self.type,
            "description": self.description,
            "name": self.name,
            "schema": self.schema_,
            "strict": bool(self.strict),
        }


class TextOptions(WireModel):
    """The answer's format and verbosity."""

    format: AnswerFormat | None = None
    verbosity: Annotated[str | None, one_of("low", "medium", "high")] = None


class ReasoningOptions(WireModel):
    """How the model thinks, and what of that the client sees."""

    effort: Annotated[str | None, one_of(*EFFORTS, expected=_EFFORT_NOUN)] = None
    summary: Annotated[str | None, one_of("concise", "detailed", "auto")] = None
    context: Annotated[str | None, one_of("auto", "current_turn", "all_turns")] = None
    mode: Label = None


class StreamOptions(WireModel):
    """What a stream contains besides its events."""

    include_obfuscation: Flag = None


class Conversation(WireModel):
    """The conversation that the request belongs to; a string is parsed as its id."""

    id: Annotated[str, fields.text(longest=MAX_LABEL)]


class Prompt(WireModel):
    """A prompt template, of which this server has none."""

    id: Annotated[str, fields.text(longest=MAX_LABEL)]
    version: object = None
    variables: object = None


def _conversation(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


ConversationParam = Annotated[Conversation | None, BeforeValidator(_conversation)]
Includes = Annotated[
    Items[Annotated[str, one_of(*INCLUDES)]] | None,
    array(_INCLUDE_NOUN, longest=MAX_OPTIONS * 4, may_be_null=True, may_be_empty=True),
]
Truncation = Annotated[str | None, one_of("auto", "disabled")]
Retention = Annotated[str | None, one_of("in_memory", "24h", expected="one of 'in_memory' or '24h'")]
Options = Annotated[dict[str, Any] | None, small_object(MAX_OPTIONS)]
Tier = Annotated[
    str | None, one_of(*_TIERS, expected=f"one of {validation_errors.quoted_list(_TIERS, 'or')}")
]
_NO_REASONING: Final = ReasoningOptions()
_NO_TEXT: Final = TextOptions()


class ResponsesRequest(WireModel):
    """The body of `POST /v1/responses`; None means OpenAI's default, as does null."""

    model: str
    input: Input
    previous_response_id: Label = None
    conversation: ConversationParam = None
    prompt: Prompt | None = None
    include: Includes = None
    tools: Tools = None
    tool_choice: ToolChoiceField = None
    metadata: Metadata = ()
    text: TextOptions | None = None
    temperature: Temperature = None
    top_p: Fraction = None
    presence_penalty: Penalty = None
    frequency_penalty: Penalty = None
    parallel_tool_calls: Flag = None
    stream: Flag = None
    stream_options: StreamOptions | None = None
    background: Flag = None
    max_output_tokens: Annotated[StrictInt | None, integer(LEAST_TOKENS)] = None
    max_tool_calls: Annotated[StrictInt | None, integer(1)] = None
    reasoning: ReasoningOptions | None = None
    user: Label = None
    safety_identifier: Annotated[str | None, fields.text(longest=64)] = None
    prompt_cache_options: Options = None
    prompt_cache_key: Label = None
    prompt_cache_retention: Retention = None
    truncation: Truncation = None
    instructions: Text = None
    store: Flag = None
    service_tier: Tier = None
    top_logprobs: Annotated[StrictInt | None, integer(0, MAX_TOP_LOGPROBS)] = None

    @property
    def wants_logprobs(self) -> bool:
        return "message.output_text.logprobs" in (self.include or ()) or bool(self.top_logprobs)

    @property
    def wants_encrypted_reasoning(self) -> bool:
        return "reasoning.encrypted_content" in (self.include or ())

    @property
    def conversation_id(self) -> str | None:
        return None if self.conversation is None else self.conversation.id

    @property
    def is_stored(self) -> bool:
        return self.store is not False

    @property
    def reasoning_options(self) -> ReasoningOptions:
        return self.reasoning or _NO_REASONING

    @property
    def text_options(self) -> TextOptions:
        return self.text or _NO_TEXT


class InputTokensRequest(WireModel):
    """The body of `POST /v1/responses/input_tokens`."""

    model: str
    input: OptionalInput = None
    previous_response_id: Label = None
    conversation: ConversationParam = None
    tools: Tools = None
    tool_choice: ToolChoiceField = None
    text: TextOptions | None = None
    parallel_tool_calls: Flag = None
    reasoning: ReasoningOptions | None = None
    truncation: Truncation = None
    instructions: Text = None
    personality: Label = None

    def as_response(self) -> ResponsesRequest:
        """The request for the response whose input is counted."""
        return ResponsesRequest.model_construct(
            model=self.model,
            input=self.input or [],
            previous_response_id=self.previous_response_id,
            conversation=self.conversation,
            tools=self.tools,
            tool_choice=self.tool_choice,
            text=self.text,
            parallel_tool_calls=self.parallel_tool_calls,
            reasoning=self.reasoning,
            truncation=self.truncation,
            instructions=self.instructions,
        )


class CompactRequest(WireModel):
    """The body of `POST /v1/responses/compact`."""

    model: str
    input: OptionalInput = None
    previous_response_id: Label = None
    prompt_cache_options: Options = None
    prompt_cache_key: Label = None
    prompt_cache_retention: Retention = None
    instructions: Text = None
    service_tier: Tier = None

    def as_response(self) -> ResponsesRequest:
        """The request for the response that summarizes the input; what doesn't fit is left out."""
        return ResponsesRequest.model_construct(
            model=self.model,
            input=self.input or [],
            previous_response_id=self.previous_response_id,
            instructions=self.instructions,
            service_tier=self.service_tier,
            truncation="auto",
            max_output_tokens=SUMMARY_TOKENS,
            reasoning=ReasoningOptions(effort="none"),
        )
