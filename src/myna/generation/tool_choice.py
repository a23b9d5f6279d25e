"""Which tools an answer may or must call, and the constraint that holds it to that and to its form. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from myna.core.conversation import ToolSpec
from myna.core.errors import InvalidRequest
from myna.core.renderer import ToolFormat
from myna.core.requests import Constraint
from myna.decoding.grammar import check
from myna.generation import json_schema
from myna.prompts.tools import silent_grammar, tool_grammar
from myna.serving import faults

Mode = Literal["none", "auto", "required"]


@dataclass(frozen=True, slots=True)
class DeclaredTool:
    """A tool of a request. `schema` is what a function's arguments follow, as it was sent; `param` is where
    the request has it, or the grammar of a custom tool's input."""

    spec: ToolSpec
    param: str
    schema: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[bool, str]:
        """A choice names a tool by these two: whether it is a function, and its name."""
        return self.spec.kind == "function", self.spec.name


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """What a request wants called. `among` are keys of tools (None: all of them); `is_single`: it names
    one tool, which is called once."""

    mode: Mode = "auto"
    among: tuple[tuple[bool, str], ...] | None = None
    is_single: bool = False


ANY_TOOL: Final = ToolChoice()


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The JSON that an answer must be: any object, or what follows the schema. `name` is the schema's own,
    `param` where the request has it."""

    param: str
    name: str = ""
    schema: Mapping[str, Any] | None = None
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedTools:
    """`declared` are in the prompt, `callable` may be called; an answer is read as calls if any may."""

    form: ToolFormat
    mode: Mode
    declared: tuple[DeclaredTool, ...]
    callable: tuple[ToolSpec, ...]
    is_parallel: bool

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The declared tools as templates take them."""
        return tuple(tool.spec for tool in self.declared)

    @property
    def has_grammar_input(self) -> bool:
        """A custom tool's grammar says what may follow its call."""
        return any(tool.kind == "grammar" for tool in self.callable)


def resolve_tools(
    declared: Sequence[DeclaredTool],
    choice: ToolChoice,
    form: ToolFormat,
    *,
    is_parallel: bool,
    answer: AnswerFormat | None,
) -> ResolvedTools | None:
    """None without tools. Raises `InvalidRequest` for a choice among tools that were not declared."""
    if not declared:
        return None
    keys = {tool.key for tool in declared}
    for key in choice.among or ():
        if key not in keys:
            raise InvalidRequest(
                f"Invalid value for 'function_call': no function named '{faults.echoed(key[1])}' was "
                "specified in the 'functions' parameter.",
                param="function_call",
            )
    usable = tuple(tool.spec for tool in declared if choice.among is None or tool.key in choice.among)
    if answer is not None:
        form = replace(form, is_loose=False)  # an object is the answer that was asked for
    return ResolvedTools(
        form=form,
        mode=choice.mode,
        declared=tuple(declared),
        callable=usable if choice.mode != "none" else (),
        is_parallel=is_parallel and not choice.is_single,
    )


def _check_tools(declared: Sequence[DeclaredTool]) -> None:
    """Raise for parameters that are no usable schema, or not strict where they say so, and for grammars
    that are none."""
    for tool in declared:
        if tool.spec.kind == "function":
            _check_parameters(tool)
        elif tool.spec.kind == "grammar":
            _check_grammar(tool)


def _check_parameters(tool: DeclaredTool) -> None:
    fault = InvalidRequest("", param=tool.param, code="invalid_function_parameters")
    json_schema.constraint_of(
        tool.schema or {"type": "object", "properties": {}},
        is_strict=tool.spec.strict,
        needs_object=True,
        subject=f"function '{tool.spec.name}'",
        fault=fault,
    )


def _check_grammar(tool: DeclaredTool) -> None:
    try:
        check(Constraint(json.dumps({"grammars": [{"lark_grammar": tool.spec.grammar}]})))
    except InvalidRequest as exc:
        raise InvalidRequest(
            f"Invalid '{tool.param}': {exc.message}", param=tool.param, code="invalid_value"
        ) from exc


def answer_constraint(answer: AnswerFormat | None, tools: ResolvedTools | None) -> Constraint | None:
    """What the answer is held to: the form that was asked for, calls, or either. Takes a while: call it in a
    thread. Raises `InvalidRequest` for schemas and grammars that can't be used."""
    _check_tools(tools.declared if tools else ())
    alone = _format_constraint(answer)
    if tools is None:
        return alone
    if not tools.callable:
        return alone or silent_grammar(tools.form)
    if answer is not None and not tools.form.trigger and tools.has_grammar_input and tools.mode != "required":
        raise InvalidRequest(
            f"Setting '{answer.param}' and a custom tool with a grammar at the same time is not supported "
            "with this model.",
            param=answer.param,
            code="invalid_parameter_combination",
        )
    constraint = tool_grammar(
        tools.form,
        tools.callable,
        must_call=tools.mode == "required",
        is_parallel=tools.is_parallel,
        answer=None if answer is None else _schema(answer),
    )
    check(constraint)
    return constraint


def _schema(answer: AnswerFormat) -> dict[str, Any]:
    return {"type": "object"} if answer.schema is None else dict(answer.schema)


def _format_constraint(answer: AnswerFormat | None) -> Constraint | None:
    if answer is None:
        return None
    if answer.schema is None:
        return json_schema.json_object()
    return json_schema.constraint_of(
        answer.schema,
        is_strict=answer.is_strict,
        subject=f"response_format '{answer.name}'",
        fault=InvalidRequest("", param=answer.param),
    )
