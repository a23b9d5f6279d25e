"""The schema of a chat completion request. Knows no model and no HTTP."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, StrictInt, model_validator

from myna.api.chat.messages import CONTENT_NOUN, Content, FunctionName, MessageParam
from myna.api.chat.tools import FunctionCallMode, Functions, ToolChoiceField, Tools
from myna.generation.reasoning import EFFORTS
from myna.prompts.template_variables import MAX_DEPTH, RESERVED, is_deep
from myna.wire import validation_errors
from myna.wire.fields import (
    MAX_OPTIONS,
    Biases,
    Count,
    Flag,
    Fraction,
    Label,
    Metadata,
    MinTokens,
    Penalty,
    RepetitionPenalty,
    Seed,
    Stops,
    StopTokens,
    StreamOptions,
    Temperature,
    Text,
    TopK,
    array,
    integer,
    never_null,
    one_of,
    small_object,
    text,
)
from myna.wire.structured_outputs import GuidedChoice, GuidedJson, GuidedText, StructuredOutputs
from myna.wire.validation import Items, TypedModel, WireModel
from myna.wire.validation_errors import FieldError

MAX_MESSAGES = 2048
MAX_TOP_LOGPROBS = 20
MAX_TEMPLATE_VARIABLES = 64


def _top_logprobs(value: Any) -> Any:
    """OpenAI has a special error text for this upper bound."""
    if type(value) is int and value > MAX_TOP_LOGPROBS:
        raise FieldError(
            None, "Invalid value for '", f"': must be less than or equal to {MAX_TOP_LOGPROBS}."
        ).in_validator()
    return value


class JsonSchemaFormat(WireModel):
    """The JSON schema of a structured answer. `strict` requires OpenAI's subset."""

    name: FunctionName
    description: Text = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: Flag = None


class ResponseFormat(TypedModel):
    """The format that the answer must have."""

    type: Annotated[str, one_of("json_object", "json_schema", "text")]
    json_schema: JsonSchemaFormat | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None  # an extension, of json_object

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if self.type != "json_object" and "schema_" in self.model_fields_set:
            raise validation_errors.unknown().in_validator("schema")
        if self.json_schema is not None and self.json_schema.schema_ is None:
            raise validation_errors.missing().in_validator("json_schema.schema")
        return self


class Prediction(WireModel):
    """Text that the answer will probably resemble."""

    type: Annotated[str, one_of("content")]
    content: Annotated[Content, never_null(CONTENT_NOUN)]

    def text(self) -> str:
        """The content as one text; the parts of an array are joined without a separator."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


def _template_variables(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    for name in value:
        if name in RESERVED:
            raise validation_errors.unsupported().in_validator(name)
    if is_deep(value):
        raise FieldError(
            "invalid_value", "Invalid '", f"': its values are nested more than {MAX_DEPTH} levels deep."
        ).in_validator()
    return value


TemplateVariables = Annotated[
    dict[str, Any] | None, small_object(MAX_TEMPLATE_VARIABLES), BeforeValidator(_template_variables)
]

_TIERS = ("auto", "default", "fast", "flex", "priority")
_RETENTIONS = ("in_memory", "24h")


def _retention(value: Any) -> Any:
    if isinstance(value, str) and value not in _RETENTIONS:
        raise FieldError(None, "Invalid prompt_cache_retention argument", None).in_validator()
    if value is not None and not isinstance(value, str):
        raise validation_errors.invalid_type("one of 'in_memory' or '24h'", value).in_validator()
    return value


class ChatRequest(WireModel):
    """The body of `POST /v1/chat/completions`; None means OpenAI's default, as does null."""

    model: str
    messages: Annotated[Items[MessageParam], array("an array of objects", longest=MAX_MESSAGES)]
    functions: Functions = None
    tools: Tools = None
    tool_choice: ToolChoiceField = None
    function_call: FunctionCallMode = None
    parallel_tool_calls: Flag = None
    max_completion_tokens: Annotated[StrictInt | None, integer(1)] = None
    max_tokens: Annotated[StrictInt | None, integer(1)] = None
    n: Count = None
    stop: Stops = ()
    temperature: Temperature = None
    top_p: Fraction = None
    presence_penalty: Penalty = None
    frequency_penalty: Penalty = None
    logprobs: Flag = None
    top_logprobs: Annotated[StrictInt | None, integer(0), BeforeValidator(_top_logprobs)] = None
    logit_bias: Biases = ()
    user: Label = None
    seed: Seed = None
    safety_identifier: Annotated[str | None, text(longest=64)] = None
    prompt_cache_options: Annotated[dict[str, Any] | None, small_object(MAX_OPTIONS)] = None
    prompt_cache_key: Label = None
    prompt_cache_retention: Annotated[str | None, BeforeValidator(_retention)] = None
    service_tier: Annotated[
        str | None, one_of(*_TIERS, expected=f"one of {validation_errors.quoted_list(_TIERS, 'or')}")
    ] = None
    reasoning_effort: Annotated[str | None, one_of(*EFFORTS)] = None
    verbosity: Annotated[str | None, one_of("low", "medium", "high")] = None
    stream: Flag = None
    stream_options: StreamOptions | None = None
    store: Flag = None
    metadata: Metadata = ()
    response_format: ResponseFormat | None = None
    prediction: Prediction | None = None
    top_k: TopK = None
    min_p: Fraction = None
    repetition_penalty: RepetitionPenalty = None
    min_tokens: MinTokens = None
    stop_token_ids: StopTokens = ()
    ignore_eos: Flag = None
    chat_template_kwargs: TemplateVariables = None
    enable_thinking: Flag = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: GuidedJson = None
    guided_regex: GuidedText = None
    guided_choice: GuidedChoice = None
    guided_grammar: GuidedText = None
