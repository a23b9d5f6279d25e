"""Which tools an answer may or must call, and the one grammar that holds it to that and to its form. Pure."""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from myna.api.chat import schemas
from myna.api.chat.schema import ChatRequest, ResponseFormat
from myna.api.chat.tools import Function, FunctionSpec, NamedTool, Tool, ToolChoice
from myna.core.conversation import ToolSpec
from myna.core.errors import InvalidRequest
from myna.core.renderer import ToolFormat
from myna.core.requests import Constraint
from myna.decoding.grammar import check
from myna.prompts.custom_input import grammar_tool, text_tool
from myna.prompts.tools import NO_PARAMETERS, silent_grammar, tool_grammar
from myna.serving import faults

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
    def has_grammar_input(self) -> bool:
        """A custom tool's grammar says what may follow its call."""
        return any(tool.kind == "grammar" for tool in self.callable)


def tool_use(request: ChatRequest, form: ToolFormat) -> ToolUse | None:
    """None without tools. Raises `InvalidRequest` for a choice among tools that were not declared."""
    if not request.tools and not request.functions:
        return None
    functions = tuple(_function_spec(function) for function in request.functions or ())
    declared = (*functions, *map(_spec, request.tools or ()))
    mode, wanted, is_named = _chosen(request)
    names = {(tool.kind == "function", tool.name) for tool in declared}
    for choice in wanted or ():
        if choice not in names:
            raise InvalidRequest(
                f"Invalid value for 'function_call': no function named '{faults.echoed(choice[1])}' was "
                "specified in the 'functions' parameter.",
                param="function_call",
            )
    usable = tuple(
        tool for tool in declared if wanted is None or (tool.kind == "function", tool.name) in wanted
    )
    if request.response_format is not None and request.response_format.type != "text":
        form = replace(form, is_loose=False)  # an object is the answer that was asked for
    return ToolUse(
        form=form,
        mode=_mode(mode),
        declared=declared,
        callable=usable if mode != "none" else (),
        is_parallel=request.parallel_tool_calls is not False and not is_named and not functions,
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
    custom = tool.custom if tool.type == "custom" else None
    if custom is None:
        assert tool.function is not None
        return _function_spec(tool.function)
    description, grammar = custom.description or "", custom.format.grammar if custom.format else None
    if grammar is None:
        return text_tool(custom.name, description)
    return grammar_tool(custom.name, description, grammar.syntax, grammar.definition)


def _function_spec(function: Function) -> ToolSpec:
    parameters = json.dumps(function.parameters, ensure_ascii=False) if function.parameters else NO_PARAMETERS
    is_strict = isinstance(function, FunctionSpec) and bool(function.strict)
    return ToolSpec(function.name, function.description or "", parameters, is_strict)


def check_tools(request: ChatRequest, use: ToolUse | None) -> None:
    """Raise for parameters that are no usable schema, or not strict where they say so, and for grammars
    that are none."""
    for i, function in enumerate(request.functions or ()):
        _check_parameters(f"functions[{i}].parameters", function)
    for i, tool in enumerate(request.tools or ()):
        if tool.function is not None:
            _check_parameters(f"tools[{i}].function.parameters", tool.function)
    for i, spec in enumerate(use.declared if use is not None else ()):
        if spec.kind == "grammar":
            _check_grammar(f"tools[{i}].custom.format.grammar.definition", spec)


def _check_parameters(place: str, function: Function) -> None:
    fault = InvalidRequest("", param=place, code="invalid_function_parameters")
    schema: dict[str, Any] = function.parameters or {"type": "object", "properties": {}}
    schemas.constraint_of(
        schema,
        is_strict=isinstance(function, FunctionSpec) and bool(function.strict),
        needs_object=True,
        subject=f"function '{function.name}'",
        fault=fault,
    )


def _check_grammar(place: str, spec: ToolSpec) -> None:
    try:
        check(Constraint(json.dumps({"grammars": [{"lark_grammar": spec.grammar}]})))
    except InvalidRequest as exc:
        raise InvalidRequest(f"Invalid '{place}': {exc.message}", param=place, code="invalid_value") from exc


def answer_constraint(form: ResponseFormat | None, use: ToolUse | None) -> Constraint | None:
    """What the answer is held to: the form that was asked for, calls, or either. Raises `InvalidRequest`
    for schemas that can't be used."""
    alone = _form_constraint(form)
    if use is None:
        return alone
    if not use.callable:
        return alone or silent_grammar(use.form)
    answer = None if form is None or form.type == "text" else _schema(form)
    if answer is not None and not use.form.trigger and use.has_grammar_input and use.mode != "required":
        raise InvalidRequest(
            "Setting 'response_format' and a custom tool with a grammar at the same time is not supported "
            "with this model.",
            param="response_format",
            code="invalid_parameter_combination",
        )
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
