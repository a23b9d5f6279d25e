"""Which tools an answer may or must call, and the constraint that enforces this and its format. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from msgspec.structs import replace

from myna.core.constraints import (
    CallableTool,
    Constraint,
    JsonObject,
    JsonSchema,
    LarkGrammar,
    NoToolCalls,
    Origin,
    Regex,
    TextChoice,
    ToolCalls,
)
from myna.core.conversation import ToolSpec
from myna.core.errors import InvalidRequest
from myna.core.functionary import LEAD, TO_ALL
from myna.core.requests import NO_CALLS, CallMarks
from myna.generation import json_schema
from myna.prompts.call_formats.base import CallFormat, CallReader
from myna.prompts.call_formats.table import FORMATS
from myna.prompts.tools import NO_PARAMETERS
from myna.wire import validation_errors

Mode = Literal["none", "auto", "required"]


@dataclass(frozen=True, slots=True)
class DeclaredTool:
    """A tool of a request. `schema` is the JSON schema of a function's arguments, as it was sent; `param` is
    the request's parameter with the schema, or with the grammar of a custom tool."""

    spec: ToolSpec
    param: str
    schema: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[bool, str]:
        """How a choice refers to a tool: whether it is a function, and its name."""
        return self.spec.kind == "function", self.spec.name


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which tools a request wants called. `among` are keys of tools (None: all); `is_single`: the choice
    names one tool, which must be called exactly once."""

    mode: Mode = "auto"
    among: tuple[tuple[bool, str], ...] | None = None
    is_single: bool = False


ANY_TOOL: Final = ToolChoice()


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The JSON that an answer must be: any object, or one that follows the schema. `name` is the schema's
    name, `param` the request's parameter, `code` that of errors in the schema."""

    param: str
    name: str = ""
    schema: Mapping[str, Any] | None = None
    is_strict: bool = False
    code: str | None = None


Answer = AnswerFormat | Regex | TextChoice | LarkGrammar
"""What a request may ask its answer to be."""


@dataclass(frozen=True, slots=True)
class ResolvedTools:
    """`declared` tools are in the prompt, `callable` ones may be called; an answer is parsed for calls if
    there are any. `constraints` are what calls of the callable tools must follow. `is_answer_json`: an answer
    without a call is JSON that was asked for."""

    form: CallFormat
    mode: Mode
    declared: tuple[DeclaredTool, ...]
    callable: tuple[ToolSpec, ...]
    is_parallel: bool
    constraints: tuple[CallableTool, ...]
    is_answer_json: bool = False

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The declared tools, as passed to templates."""
        return tuple(tool.spec for tool in self.declared)

    @property
    def marks(self) -> CallMarks:
        """Where calls may begin in the answer."""
        marks = self.form.marks if self.callable else NO_CALLS
        if marks.has_recipients:
            return replace(marks, anywhere=tuple(f"{LEAD}{tool.name}\n" for tool in self.callable))
        return CallMarks(marks.anywhere[:1]) if self.is_answer_json and marks.anywhere else marks

    def reader(self) -> CallReader:
        """A new parser of one answer."""
        return self.form.reader(self.callable, is_answer_json=self.is_answer_json)

    @property
    def has_grammar_input(self) -> bool:
        """Whether a callable custom tool has a grammar for its input."""
        return any(tool.kind == "grammar" for tool in self.callable)


def resolve_tools(
    declared: Sequence[DeclaredTool],
    choice: ToolChoice,
    call_format: str,
    *,
    is_parallel: bool,
    answer: Answer | None,
) -> ResolvedTools | None:
    """None without tools. Raises `InvalidRequest` for a choice of undeclared tools, and for parameters that
    are not a usable schema, or not in the strict subset if declared strict. Reading schemas is slow: call it
    in a thread."""
    if not declared:
        return None
    _check_choice(declared, choice)
    form = FORMATS[call_format]
    if form.marks.has_recipients:
        _check_recipients(declared)
    constraints = [_callable(tool) for tool in declared]
    usable = [
        (tool.spec, constraint)
        for tool, constraint in zip(declared, constraints, strict=True)
        if choice.mode != "none" and (choice.among is None or tool.key in choice.among)
    ]
    return ResolvedTools(
        form=form,
        mode=choice.mode,
        declared=tuple(declared),
        callable=tuple(spec for spec, _ in usable),
        is_parallel=is_parallel and not choice.is_single,
        constraints=tuple(constraint for _, constraint in usable),
        is_answer_json=answer is not None,
    )


def _check_choice(declared: Sequence[DeclaredTool], choice: ToolChoice) -> None:
    keys = {tool.key for tool in declared}
    for key in choice.among or ():
        if key not in keys:
            raise InvalidRequest(
                f"Invalid value for 'function_call': no function named '{validation_errors.echoed(key[1])}' "
                "was specified in the 'functions' parameter.",
                param="function_call",
            )


def _check_recipients(declared: Sequence[DeclaredTool]) -> None:
    for tool in declared:
        if tool.spec.name == TO_ALL.strip():
            raise InvalidRequest(
                f"This model can't call a tool with the name '{tool.spec.name}': it addresses its text so. "
                "Rename the tool.",
                param=tool.param,
                code="invalid_value",
            )


def _callable(tool: DeclaredTool) -> CallableTool:
    spec = tool.spec
    if spec.kind != "function":
        origin = Origin(f"Invalid '{tool.param}'", tool.param, "invalid_value")
        return CallableTool(spec.name, spec.parameters, kind=spec.kind, grammar=spec.grammar, origin=origin)
    origin = json_schema.origin_of(f"function '{spec.name}'", tool.param, "invalid_function_parameters")
    schema = json_schema.constraint_of(
        tool.schema or {"type": "object", "properties": {}},
        is_strict=spec.strict,
        needs_object=True,
        name=spec.name,
        origin=origin,
    )
    parameters = schema.schema if tool.schema else NO_PARAMETERS
    return CallableTool(spec.name, parameters, spec.strict, origin=origin)


def answer_constraint(answer: Answer | None, tools: ResolvedTools | None) -> Constraint | None:
    """The constraint on the answer: the requested format, tool calls, or either. Raises `InvalidRequest` for
    unusable schemas, and for tools together with a format that isn't JSON."""
    if isinstance(answer, Regex | TextChoice | LarkGrammar):
        if tools is not None and tools.callable:
            raise InvalidRequest(
                "An answer can't be tool calls and have a format other than JSON at the same time. Remove "
                "one, or set 'tool_choice' to 'none'.",
                param="tools",
                code="invalid_parameter_combination",
            )
        return answer
    alone = _format_constraint(answer)
    if tools is None:
        return alone
    if not tools.callable:
        return alone or NoToolCalls(tools.form.name)
    if (
        answer is not None
        and not tools.form.marks.anywhere
        and tools.has_grammar_input
        and tools.mode != "required"
    ):
        raise InvalidRequest(
            f"Setting '{answer.param}' and a custom tool with a grammar at the same time is not supported "
            "with this model.",
            param=answer.param,
            code="invalid_parameter_combination",
        )
    return ToolCalls(
        tools.form.name,
        tools.constraints,
        is_required=tools.mode == "required",
        is_parallel=tools.is_parallel,
        answer=alone,
    )


def _format_constraint(answer: AnswerFormat | None) -> JsonSchema | JsonObject | None:
    if answer is None:
        return None
    if answer.schema is None:
        return JsonObject()
    return json_schema.constraint_of(
        answer.schema,
        is_strict=answer.is_strict,
        name=answer.name,
        origin=json_schema.origin_of(f"response_format '{answer.name}'", answer.param, answer.code),
    )
