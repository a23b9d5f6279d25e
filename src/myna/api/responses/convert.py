"""Converts a request to the Responses API to the types of `core` and `generation`. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from myna.api.responses.schema import AnswerFormat as FormatParam
from myna.api.responses.schema import ResponsesRequest
from myna.api.responses.tools import (
    CustomTool,
    FunctionTool,
    NamedTool,
    Namespace,
    Tool,
    ToolChoiceParam,
    shown_name,
)
from myna.core.conversation import ToolSpec
from myna.core.requests import Sampling
from myna.generation.sampling import SamplingOptions, to_sampling
from myna.generation.tool_choice import ANY_TOOL, AnswerFormat, DeclaredTool, ToolChoice
from myna.prompts.custom_input import grammar_tool, text_tool


@dataclass(frozen=True, slots=True)
class ShownTool:
    """A tool that the model sees under the name `shown`; calls of it carry `name` and `namespace`."""

    shown: str
    name: str
    namespace: str | None
    declared: DeclaredTool


def shown_tools(tools: Sequence[Tool]) -> tuple[ShownTool, ...]:
    """The tools that the model sees, those of namespaces included."""
    shown = list[ShownTool]()
    for i, tool in enumerate(tools):
        if isinstance(tool, Namespace):
            for j, inner in enumerate(tool.tools):
                shown.append(_shown(inner, tool.name, f"tools[{i}].tools[{j}]"))
        elif isinstance(tool, FunctionTool | CustomTool):
            shown.append(_shown(tool, None, f"tools[{i}]"))
    return tuple(shown)


def _shown(tool: FunctionTool | CustomTool, namespace: str | None, param: str) -> ShownTool:
    name, description = shown_name(namespace, tool.name), tool.description or ""
    if isinstance(tool, FunctionTool):
        schema = tool.schema_()
        spec = ToolSpec(name, description, json.dumps(schema, ensure_ascii=False), bool(tool.strict))
        declared = DeclaredTool(spec, f"{param}.parameters", schema)
    else:
        declared = DeclaredTool(_custom(name, description, tool), f"{param}.format.definition")
    return ShownTool(name, tool.name, namespace, declared)


def _custom(name: str, description: str, tool: CustomTool) -> ToolSpec:
    form = tool.format
    if form is None or form.syntax is None or form.definition is None:
        return text_tool(name, description)
    return grammar_tool(name, description, form.syntax, form.definition)


def tool_choice(choice: ToolChoiceParam | None, tools: Sequence[ShownTool]) -> ToolChoice:
    """The choice, in the names that the model sees."""
    if choice is None:
        return ANY_TOOL
    match choice.type:
        case "none":
            return ToolChoice("none")
        case "required":
            return ToolChoice("required")
        case "allowed_tools":
            among = tuple(_key(tool, tools) for tool in choice.tools or ())
            return ToolChoice("required" if choice.mode == "required" else "auto", among)
        case "function" | "custom":
            return ToolChoice("required", (_key(choice, tools),), is_single=True)
        case _:
            return ANY_TOOL


def _key(chosen: NamedTool | ToolChoiceParam, tools: Sequence[ShownTool]) -> tuple[bool, str]:
    """The key of the tool of that name, which may be one of a namespace without its name."""
    is_function, wanted = chosen.type == "function", shown_name(chosen.namespace, chosen.name or "")
    keys = {tool.declared.key for tool in tools}
    inner = (tool.declared.key for tool in tools if tool.name == chosen.name)
    found = (is_function, wanted)
    return found if found in keys else next((key for key in inner if key[0] == is_function), found)


def answer_format(form: FormatParam | None) -> AnswerFormat | None:
    """The format of the answer; None for text."""
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return AnswerFormat("text.format")
    return AnswerFormat(
        "text.format.schema", form.name or "", form.schema_, bool(form.strict), "invalid_json_schema"
    )


def sampling(request: ResponsesRequest, defaults: Sampling) -> Sampling:
    """The sampling parameters, with the model's `defaults` for those that are not set."""
    options = SamplingOptions(
        temperature=request.temperature,
        top_p=request.top_p,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
    )
    return to_sampling(options, defaults)
