"""The bodies of `POST /v1/messages` and `/v1/messages/count_tokens`, in the order in which Anthropic checks
them."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StrictFloat, ValidationInfo

from myna.api.messages.blocks import MessageParam, Texts, ToolName
from myna.wire.anthropic_validation import invalid
from myna.wire.fields import MAX_STOP, MAX_STOPS
from myna.wire.ignored import IgnoredFields
from myna.wire.validation import Items, WireModel

LEAST_THINKING: Final = 1024
_MAX_TOP_K: Final = 2**31 - 1


class ToolChoice(WireModel):
    """Which tools may be called."""

    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Tool(WireModel):
    """A function. The keys without a type are accepted and not used."""

    name: ToolName
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: object = None
    eager_input_streaming: object = None
    defer_loading: object = None
    allowed_callers: object = None
    input_examples: object = None


def _functions(value: Any, info: ValidationInfo) -> Any:
    """The tools without those that are Anthropic's own; they are dropped if `info.context` collects what is
    ignored, otherwise an error."""
    ignored: IgnoredFields | None = info.context
    if not isinstance(value, list):
        return value
    own = [kind for tool in value if (kind := _anthropics(tool))]
    if own and ignored is None:
        raise invalid(
            f"'{own[0][:64]}' is a tool of Anthropic's that this server doesn't have. Remove it, or declare "
            "a function with an 'input_schema' in its place."
        )
    if ignored is not None:
        ignored.add(own)
    return [tool for tool in value if not _anthropics(tool)]


def _anthropics(tool: Any) -> str:
    """The type of a tool that Anthropic runs, or whose schema only its models know; empty for a function."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    return kind if isinstance(kind, str) and kind != "custom" else ""


class Thinking(WireModel):
    """Whether the model reasons before it answers."""

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: Annotated[int, Field(ge=LEAST_THINKING)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(WireModel):
    """The JSON schema that the answer follows."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(WireModel):
    """Format and effort of the answer."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None
    task_budget: object = None


class Metadata(WireModel):
    """Who asks."""

    user_id: Annotated[str, Field(max_length=512)] | None = None


class PromptRequest(WireModel):
    """What becomes the prompt: the body of `count_tokens`."""

    model: Annotated[str, Field(min_length=1)]
    tool_choice: ToolChoice | None = None
    tools: Annotated[Items[Tool] | None, BeforeValidator(_functions)] = None
    messages: Items[MessageParam]
    system: Texts | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: object = None


class MessagesRequest(PromptRequest):
    """The whole body. `temperature` may be up to 2, as in chat completions."""

    max_tokens: Annotated[int, Field(ge=1)]
    metadata: Metadata | None = None
    stop_sequences: (
        Annotated[Items[Annotated[str, Field(max_length=MAX_STOP)]], Field(max_length=MAX_STOPS)] | None
    ) = None
    temperature: Annotated[StrictFloat, Field(ge=0, le=2)] | None = None
    top_k: Annotated[int, Field(ge=0, le=_MAX_TOP_K)] | None = None
    top_p: Annotated[StrictFloat, Field(ge=0, le=1)] | None = None
    stream: bool | None = None
