"""Which tools an answer may or must call, and the one grammar that holds it to that and to its form. Pure."""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from myna.api.chat import schemas
from myna.api.chat.schema import ChatRequest, ResponseFormat
from myna.api.chat.tools import FunctionSpec, Tool
from myna.core.errors import InvalidRequest
from myna.core.requests import Constraint
from myna.decoding.grammar import check
from myna.prompts.messages import ToolSpec
from myna.prompts.tools import NO_PARAMETERS, ToolFormat, silent_grammar, tool_grammar

Mode = Literal["none", "auto", "required"]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """`declared` stand in the prompt, `callable` may be called; an answer is read as calls if any may."""

    form: ToolFormat
    mode: Mode
    declared: tuple[ToolSpec, ...]
    callable: tuple[ToolSpec, ...]
    is_parallel: bool

    @property
    def names(self) -> frozenset[str]:
        return frozenset(tool.name for tool in self.callable)


def tool_use(request: ChatRequest, form: ToolFormat) -> ToolUse | None:
    """None without tools. Raises `InvalidRequest` for a choice among tools that were not declared."""
    if not request.tools:
        return None
    declared = tuple(_spec(i, tool) for i, tool in enumerate(request.tools))
    choice, mode, wanted = request.tool_choice, "auto", None
    if choice is not None:
        if choice.function is not None:
            mode, wanted = "required", [choice.function.name]
        elif choice.allowed_tools is not None:
            mode = choice.allowed_tools.mode
            wanted = [tool.function.name for tool in choice.allowed_tools.tools]
        else:
            mode = choice.type
    for name in wanted or ():
        if name not in {tool.name for tool in declared}:
            raise InvalidRequest(
                f"Invalid value for 'function_call': no function named '{name}' was specified in the "
                "'functions' parameter.",
                param="function_call",
            )
    usable = tuple(tool for tool in declared if wanted is None or tool.name in wanted)
    is_named = choice is not None and choice.function is not None
    if request.response_format is not None and request.response_format.type != "text":
        form = replace(form, is_loose=False)  # an object is the answer that was asked for
    return ToolUse(
        form=form,
        mode=_mode(mode),
        declared=declared,
        callable=usable if mode != "none" else (),
        is_parallel=request.parallel_tool_calls is not False and not is_named,
    )


def _mode(text: str) -> Mode:
    return "none" if text == "none" else "required" if text == "required" else "auto"


def _spec(i: int, tool: Tool) -> ToolSpec:
    function = tool.function
    if function is None:
        raise InvalidRequest(
            f"Unsupported value: 'tools[{i}].type' does not support '{tool.type}' with this model.",
            param=f"tools[{i}].type",
            code="unsupported_value",
        )
    parameters = json.dumps(function.parameters, ensure_ascii=False) if function.parameters else NO_PARAMETERS
    return ToolSpec(function.name, function.description or "", parameters, bool(function.strict))


def check_tools(tools: list[Tool] | None) -> None:
    """Raise for parameters that are no usable schema, or not strict where they say so."""
    for i, tool in enumerate(tools or ()):
        if tool.function is not None:
            _check_parameters(i, tool.function)


def _check_parameters(i: int, function: FunctionSpec) -> None:
    fault = InvalidRequest("", param=f"tools[{i}].function.parameters", code="invalid_function_parameters")
    schema: dict[str, Any] = function.parameters or {"type": "object", "properties": {}}
    schemas.constraint_of(
        schema,
        is_strict=bool(function.strict),
        needs_object=True,
        subject=f"function '{function.name}'",
        fault=fault,
    )


def answer_constraint(form: ResponseFormat | None, use: ToolUse | None) -> Constraint | None:
    """What the answer is held to: the form that was asked for, calls, or either. Raises `InvalidRequest`
    for schemas that can't be used."""
    alone = _form_constraint(form)
    if use is None:
        return alone
    if not use.callable:
        return alone or silent_grammar(use.form)
    answer = None if form is None or form.type == "text" else _schema(form)
    constraint = tool_grammar(
        use.form,
        use.callable,
        must_call=use.mode == "required",
        is_parallel=use.is_parallel,
        answer=answer,
    )
    check(constraint)
    return constraint


def _schema(form: ResponseFormat) -> dict[str, Any]:
    if form.json_schema is None or form.json_schema.schema_ is None:
        return {"type": "object"}
    return form.json_schema.schema_


def _form_constraint(form: ResponseFormat | None) -> Constraint | None:
    if form is None or form.type == "text":
        return None
    if form.json_schema is None:
        return schemas.json_object()
    return schemas.constraint_of(
        _schema(form),
        is_strict=bool(form.json_schema.strict),
        subject=f"response_format '{form.json_schema.name}'",
        fault=InvalidRequest("", param="response_format"),
    )
