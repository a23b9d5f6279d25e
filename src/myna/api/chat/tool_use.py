"""Which tools an answer may or must call, and the constraint that holds it to that and to its form. Pure."""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from myna.api.chat import schemas
from myna.api.chat.schema import ChatRequest, ResponseFormat
from myna.api.chat.tools import Function, FunctionSpec, NamedTool, Tool, ToolChoice
from myna.core.constraints import (
    CallableTool,
    Constraint,
    JsonObject,
    JsonSchema,
    NoToolCalls,
    Origin,
    ToolCalls,
)
from myna.core.errors import InvalidRequest
from myna.prompts.custom_input import grammar_tool, text_tool
from myna.prompts.messages import ToolSpec
from myna.prompts.tools import NO_PARAMETERS, ToolFormat
from myna.serving import faults

Mode = Literal["none", "auto", "required"]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """`declared` stand in the prompt, `callable` may be called; an answer is read as calls if any may.
    `constraints` are what calls of the callable ones must follow."""

    form: ToolFormat
    mode: Mode
    declared: tuple[ToolSpec, ...]
    callable: tuple[ToolSpec, ...]
    is_parallel: bool
    constraints: tuple[CallableTool, ...] = ()

    @property
    def has_grammar_input(self) -> bool:
        """A custom tool's grammar says what may follow its call."""
        return any(tool.kind == "grammar" for tool in self.callable)


def tool_use(request: ChatRequest, form: ToolFormat) -> ToolUse | None:
    """None without tools. Raises `InvalidRequest` for a choice among tools that were not declared, and for
    parameters that are no usable schema, or not strict where they say so."""
    if not request.tools and not request.functions:
        return None
    mode, wanted, is_named = _chosen(request)
    _check_choice(request, wanted)
    constraints = [
        _function_constraint(f"functions[{i}].parameters", function)
        for i, function in enumerate(request.functions or ())
    ]
    constraints += [_tool_constraint(f"tools[{i}]", tool) for i, tool in enumerate(request.tools or ())]
    functions = tuple(_function_spec(function) for function in request.functions or ())
    declared = (*functions, *map(_spec, request.tools or ()))
    usable = [
        (tool, constraint)
        for tool, constraint in zip(declared, constraints, strict=True)
        if mode != "none" and (wanted is None or (tool.kind == "function", tool.name) in wanted)
    ]
    if request.response_format is not None and request.response_format.type != "text":
        form = replace(form, is_loose=False)  # an object is the answer that was asked for
    return ToolUse(
        form=form,
        mode=_mode(mode),
        declared=declared,
        callable=tuple(tool for tool, _ in usable),
        is_parallel=request.parallel_tool_calls is not False and not is_named and not functions,
        constraints=tuple(constraint for _, constraint in usable),
    )


def _check_choice(request: ChatRequest, wanted: list[tuple[bool, str]] | None) -> None:
    names = {(True, function.name) for function in request.functions or ()}
    for tool in request.tools or ():
        named = tool.function if tool.type == "function" else tool.custom
        names.add((tool.type == "function", named.name if named is not None else ""))
    for choice in wanted or ():
        if choice not in names:
            raise InvalidRequest(
                f"Invalid value for 'function_call': no function named '{faults.echoed(choice[1])}' was "
                "specified in the 'functions' parameter.",
                param="function_call",
            )


def _chosen(request: ChatRequest) -> tuple[str, list[tuple[bool, str]] | None, bool]:
    """The mode, which tools it is about (None: all; whether it is a function, and its name), and whether
    it is about one by its name."""
    choice, call = request.tool_choice, request.function_call
    if call is not None:
        return (
            (call.mode or "auto", None, False)
            if call.name is None
            else ("required", [(True, call.name)], True)
        )
    if choice is None:
        return "auto", None, False
    if choice.allowed_tools is not None:
        return choice.allowed_tools.mode, [_named(tool) for tool in choice.allowed_tools.tools], False
    if choice.type in ("function", "custom"):
        return "required", [_named(choice)], True
    return choice.type, None, False


def _named(tool: NamedTool | ToolChoice) -> tuple[bool, str]:
    named = tool.function if tool.type == "function" else tool.custom
    return tool.type == "function", named.name if named is not None else ""


def _mode(text: str | None) -> Mode:
    return "none" if text == "none" else "required" if text == "required" else "auto"


def _spec(tool: Tool) -> ToolSpec:
    custom = _spec_of_custom(tool)
    if custom is not None:
        return custom
    assert tool.function is not None
    return _function_spec(tool.function)


def _spec_of_custom(tool: Tool) -> ToolSpec | None:
    """None for a function."""
    custom = tool.custom if tool.type == "custom" else None
    if custom is None:
        return None
    description, grammar = custom.description or "", custom.format.grammar if custom.format else None
    if grammar is None:
        return text_tool(custom.name, description)
    return grammar_tool(custom.name, description, grammar.syntax, grammar.definition)


def _function_spec(function: Function) -> ToolSpec:
    parameters = json.dumps(function.parameters, ensure_ascii=False) if function.parameters else NO_PARAMETERS
    return ToolSpec(function.name, function.description or "", parameters, _is_strict(function))


def _is_strict(function: Function) -> bool:
    return isinstance(function, FunctionSpec) and bool(function.strict)


def _tool_constraint(place: str, tool: Tool) -> CallableTool:
    spec = _spec_of_custom(tool)
    if spec is None:
        assert tool.function is not None
        return _function_constraint(f"{place}.function.parameters", tool.function)
    place = f"{place}.custom.format.grammar.definition"
    origin = Origin(f"Invalid '{place}'", place, "invalid_value")
    return CallableTool(spec.name, spec.parameters, kind=spec.kind, grammar=spec.grammar, origin=origin)


def _function_constraint(place: str, function: Function) -> CallableTool:
    origin = schemas.origin_of(f"function '{function.name}'", place, "invalid_function_parameters")
    schema = schemas.constraint_of(
        function.parameters or {"type": "object", "properties": {}},
        is_strict=_is_strict(function),
        needs_object=True,
        name=function.name,
        origin=origin,
    )
    parameters = schema.schema if function.parameters else NO_PARAMETERS
    return CallableTool(function.name, parameters, _is_strict(function), origin=origin)


def answer_constraint(form: ResponseFormat | None, use: ToolUse | None) -> Constraint | None:
    """What the answer is held to: the form that was asked for, calls, or either. Raises `InvalidRequest`
    for schemas that can't be used."""
    alone = _form_constraint(form)
    if use is None:
        return alone
    if not use.callable:
        return alone or NoToolCalls(use.form.name)
    if alone is not None and not use.form.trigger and use.has_grammar_input and use.mode != "required":
        raise InvalidRequest(
            "Setting 'response_format' and a custom tool with a grammar at the same time is not supported "
            "with this model.",
            param="response_format",
            code="invalid_parameter_combination",
        )
    return ToolCalls(
        use.form.name,
        use.constraints,
        is_required=use.mode == "required",
        is_parallel=use.is_parallel,
        answer=alone,
    )


def _form_constraint(form: ResponseFormat | None) -> JsonSchema | JsonObject | None:
    if form is None or form.type == "text":
        return None
    if form.json_schema is None:
        return JsonObject()
    schema: dict[str, Any] | None = form.json_schema.schema_
    return schemas.constraint_of(
        {"type": "object"} if schema is None else schema,
        is_strict=bool(form.json_schema.strict),
        name=form.json_schema.name,
        origin=schemas.origin_of(f"response_format '{form.json_schema.name}'", "response_format"),
    )
