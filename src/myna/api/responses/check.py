"""Checks of a request to the Responses API beyond its single fields. Pure; raises the first error."""

from collections.abc import Mapping, Sequence
from typing import Final

from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.tools import CustomTool, FunctionTool, Namespace, Tool, ToolChoiceParam, shown_name
from myna.core.errors import InvalidRequest, NotFound
from myna.wire.response_items import CustomToolCall, FunctionCall, Item, MessageItem, ToolOutput

_MOVED: Final[Mapping[str, tuple[str, str | None]]] = {
    "messages": ("input", None),
    "response_format": ("text.format", None),
    "max_completion_tokens": ("max_output_tokens", None),
    "reasoning_effort": ("reasoning.effort", None),
}
_MOVED_TEXT: Final = (
    "Unsupported parameter: '{old}'. In the Responses API, this parameter has moved to '{new}'. Try again "
    "with the new parameter. See the API documentation for more information: "
    "https://platform.openai.com/docs/api-reference/responses/create."
)
NOTHING_TEXT: Final = (
    "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided."
)


def check_moved(body: Mapping[str, object]) -> None:
    """Raise for a parameter of chat completions that has another name here."""
    for old, (new, param) in _MOVED.items():
        if old in body:
            raise InvalidRequest(
                _MOVED_TEXT.format(old=old, new=new), param=param, code="unsupported_parameter"
            )


def check_combinations(request: ResponsesRequest) -> None:
    """Raise for parameters that exclude or require each other."""
    check_exclusive(request)
    if request.prompt is not None:
        raise NotFound(f"Prompt with id '{request.prompt.id}' not found.")
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    check_input(request.input, request.previous_response_id or request.conversation)
    check_choice(request.tools or (), request.tool_choice)


def check_exclusive(request: ResponsesRequest) -> None:
    """Raise for a request that continues two things at once."""
    if request.previous_response_id is not None and request.conversation is not None:
        raise InvalidRequest(
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: 'previous_response_id' "
            "or 'conversation'.",
            code="mutually_exclusive_parameters",
        )


def check_input(items: Sequence[object], continued: object) -> None:
    """Raise if there is nothing to answer."""
    if not items and not continued:
        raise InvalidRequest(NOTHING_TEXT, code="missing_required_parameter")


def check_choice(tools: Sequence[Tool], choice: ToolChoiceParam | None) -> None:
    """Raise for a choice of a tool that isn't declared."""
    if choice is None or choice.type in ("none", "auto"):
        return
    names = _names(tools)
    if choice.type == "required" and not names:
        raise InvalidRequest(
            "Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice"
        )
    chosen = choice.tools if choice.tools is not None else [choice]
    for one in chosen if choice.type != "required" else ():
        if (one.type, shown_name(one.namespace, one.name or "")) not in names:
            raise InvalidRequest(
                f"Tool choice '{one.name or one.type}' not found in 'tools' parameter.", param="tool_choice"
            )


def _names(tools: Sequence[Tool]) -> set[tuple[str, str]]:
    """The types and names of all tools, those of namespaces with and without its name."""
    names: set[tuple[str, str]] = set()
    for tool in tools:
        if isinstance(tool, FunctionTool | CustomTool):
            names.add((tool.type, tool.name))
        elif isinstance(tool, Namespace):
            for inner in tool.tools:
                names |= {(inner.type, inner.name), (inner.type, shown_name(tool.name, inner.name))}
    return names


def check_json_word(request: ResponsesRequest, items: Sequence[Item]) -> None:
    """Raise if any JSON object is wanted, but no message mentions that; as at OpenAI, instructions don't
    count."""
    form = request.text_options.format
    if form is None or form.type != "json_object":
        return
    if not any("json" in item.text().lower() for item in items if isinstance(item, MessageItem)):
        raise InvalidRequest(
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'.",
            param="input",
        )


def check_pairs(items: Sequence[Item]) -> None:
    """Raise for a call without an output, and for an output without a call."""
    called = {item.call_id for item in items if isinstance(item, FunctionCall | CustomToolCall)}
    answered = {item.call_id for item in items if isinstance(item, ToolOutput)}
    for item in items:
        if isinstance(item, ToolOutput) and item.call_id not in called:
            noun = "custom tool call" if item.type == "custom_tool_call_output" else "function call"
            raise InvalidRequest(
                f"No tool call found for {noun} output with call_id {item.call_id}.", param="input"
            )
        if isinstance(item, FunctionCall | CustomToolCall) and item.call_id not in answered:
            noun = "custom tool call" if isinstance(item, CustomToolCall) else "function call"
            raise InvalidRequest(f"No tool output found for {noun} {item.call_id}.", param="input")
