"""Builds llguidance grammars for answers that may or must contain tool calls."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, Protocol

from myna.core.renderer import ToolFormat
from myna.prompts.closed_schema import closed
from myna.prompts.tools import FENCE, NO_PARAMETERS, RAW_HEAD

# One space or one indented line between tokens: otherwise small models may write white space endlessly.
WHITE_SPACE: Final = "[ ]?|\\n[ ]{0,40}"
JSON_OPTIONS: Final = {"whitespace_pattern": WHITE_SPACE, "lenient": True}
_TEXT: Final = "TEXT: /(.|\\n)*/\n"
ANY_TEXT_GRAMMAR: Final = json.dumps({"grammars": [{"lark_grammar": f"start: TEXT\n{_TEXT}"}]})


class GrammarTool(Protocol):
    """A tool's name and its input: JSON of a schema, any text, or text of a grammar."""

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def grammar(self) -> str: ...


def tool_grammar(
    form: ToolFormat,
    tools: Sequence[GrammarTool],
    *,
    must_call: bool,
    is_parallel: bool,
    answer: dict[str, Any] | None = None,
) -> str:
    """Answers that call one of the tools (several times if `is_parallel`) or, unless `must_call`, are any
    text, or JSON of the schema `answer`."""
    if form.trigger:
        lark = _with_trigger(form, tools, must_call, is_parallel, answer)
    elif must_call:
        lark = f"start: any_call\n{_calls(form, tools)}"
    elif answer is not None:
        lark = f"start: {_any_of([answer, *(_call_schema(form, tool) for tool in tools)])}\n"
    else:
        # Plain text must not begin like a call, or a call could be mistaken for text.
        lark = f"start: said? | any_call\nsaid: /[^{{\\s]/ TEXT\n{_calls(form, tools)}{_TEXT}"
    inputs = [
        {"name": f"input_{i}", "lark_grammar": tool.grammar}
        for i, tool in enumerate(tools)
        if tool.kind == "grammar"
    ]
    return json.dumps({"grammars": [{"lark_grammar": lark}, *inputs]}, ensure_ascii=False)


def no_call_grammar(form: ToolFormat) -> str:
    """Text without a call, for a model that sees tools but may call none."""
    if form.trigger:
        trigger = re.escape(form.trigger).replace("/", "\\/")
        lark = f"start: TEXT\nTEXT: /(.|\\n)*/ & ~/(.|\\n)*{trigger}(.|\\n)*/\n"
    else:
        lark = f"start: said?\nsaid: /[^{{\\s]/ TEXT\n{_TEXT}"
    return json.dumps({"grammars": [{"lark_grammar": lark}]}, ensure_ascii=False)


def _with_trigger(
    form: ToolFormat,
    tools: Sequence[GrammarTool],
    must_call: bool,
    is_parallel: bool,
    answer: dict[str, Any] | None,
) -> str:
    trigger, before, after = (json.dumps(text) for text in (form.trigger, form.before, form.after))
    between = json.dumps(form.between) if is_parallel and form.between is not None else ""
    kinds = {tool.kind == "grammar" for tool in tools}
    ways = []
    if False in kinds:
        ways.append(f"{before} call {f'({between} call)*' if between else ''} {after}")
    if True in kinds:
        # Its input ends with the answer, so nothing follows it.
        ways.append(f"{before} {f'(call {between})*' if between and False in kinds else ''} last_call")
    rules = f"rest: {' | '.join(ways)}\n" + _calls(form, tools)
    if must_call:
        return f"start: {trigger} rest\n{rules}"
    if answer is not None:
        return f"start: said | {trigger} rest\nsaid: {_any_of([answer])}\n{rules}"
    # Lazy: text ends at the first trigger, and what follows is a call.
    bare = [i for i, tool in enumerate(tools) if form.is_loose and tool.kind != "grammar"]
    loose = "".join(_loose(form, i, tools[i]) for i in bare)
    start = "start: said | begun rest" + "".join(f" | loose_{i}" for i in bare)
    return f"{start}\nsaid: TEXT\nbegun[lazy]: TEXT {trigger}\n{rules}{loose}{_TEXT}"


def _calls(form: ToolFormat, tools: Sequence[GrammarTool]) -> str:
    """The rules of a call. Its head has only one spelling, so that a model can't get lost in it."""
    rules = f"any_call: {' | '.join(f'call_{i}' for i in range(len(tools)))}\n"
    for rule, is_last in (("call", False), ("last_call", True)):
        if mine := [f"call_{i}" for i, tool in enumerate(tools) if (tool.kind == "grammar") == is_last]:
            rules += f"{rule}: {' | '.join(mine)}\n"
    for i, tool in enumerate(tools):
        head = json.dumps(_head(form, tool))
        if tool.kind == "grammar":
            rules += f"call_{i}: {head} @input_{i}\n"
            continue
        parameters = _parameters(tool) | {"x-guidance": JSON_OPTIONS}
        rules += f'call_{i}: {head} args_{i} "}}"\n'
        rules += f"args_{i}: %json {json.dumps(parameters, ensure_ascii=False)}\n"
    return rules


def _head(form: ToolFormat, tool: GrammarTool) -> str:
    """The text before a call's arguments, or before an input that follows a grammar."""
    head = f'{{"name": "{tool.name}", "{form.arguments}": '
    return head + RAW_HEAD if tool.kind == "grammar" else head


def call_head(form: ToolFormat, tool: GrammarTool) -> str:
    """The beginning, up to its arguments, of an answer that first calls that tool."""
    return form.trigger + form.before + _head(form, tool)


def _loose(form: ToolFormat, i: int, tool: GrammarTool) -> str:
    """The rule of a call without its tags: once the tool's name is written it is a call, and ends the
    answer."""
    white, gap = "[ \\n]*", "[ \\n]{0,40}"  # within a call, white space is limited
    head = f'\\{{{white}"name"[ ]?:[ ]?"{re.escape(tool.name)}"[ ]?,{white}"{form.arguments}"[ ]?:'
    rules = f"loose_{i}: open_{i} /{gap}/ args_{i} /{gap}\\}}/\n"
    rules += f"    | fenced_{i} /{gap}/ args_{i} /{gap}\\}}{gap}```/\n"
    rules += f"open_{i}[lazy]: /{white}{head}/\n"
    return rules + f"fenced_{i}[lazy]: /(.|\\n)*{FENCE}{white}{head}/\n"


def _any_of(schemas: list[dict[str, Any]]) -> str:
    options = [moved(schema, f"/anyOf/{i}") for i, schema in enumerate(schemas)]
    return "%json " + json.dumps({"anyOf": options, "x-guidance": JSON_OPTIONS}, ensure_ascii=False)


def _call_schema(form: ToolFormat, tool: GrammarTool) -> dict[str, Any]:
    parameters = _parameters(tool)
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.name},
            form.arguments: moved(parameters, f"/properties/{form.arguments}"),
        },
        "required": ["name", form.arguments],
        "additionalProperties": False,
    }


def _parameters(tool: GrammarTool) -> dict[str, Any]:
    """The schema of a call's arguments; a function without parameters takes none."""
    schema: dict[str, Any] = closed(json.loads(tool.parameters or NO_PARAMETERS))
    if schema.keys() <= {"type", "properties", "title", "description"} and not schema.get("properties", True):
        return {**schema, "additionalProperties": False}
    return schema


def moved(schema: Any, place: str) -> Any:
    """The schema with its internal references adjusted for embedding it at `place` in another."""
    if isinstance(schema, list):
        return [moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: moved(value, place) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        out["$ref"] = f"#{place}{reference[1:]}"
    return out
