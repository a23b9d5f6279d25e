"""Calls between markers: the text that begins and ends them is data, their arguments are in some style."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from myna.core.conversation import ToolCall, ToolSpec
from myna.core.requests import CallMarks
from myna.prompts.call_formats.base import ArgumentStyle, GrammarTool
from myna.prompts.call_formats.json_style import JsonStyle, any_of
from myna.prompts.call_formats.layout import Layout, escaped, quoted
from myna.prompts.call_formats.marked_reader import CallSyntax, MarkedReader
from myna.prompts.call_formats.raw_text import without_repetitions

WRAPPERS: Final = {"```json": "```", "<tools>": "</tools>"}
"""What small models write around a call in place of the family's markers: the text before it and after it."""
TEXT_RULE: Final = "TEXT: /(.|\\n)*/\n"
_JSON: Final = JsonStyle()
_LOOSE_HEAD: Final = '{"name": "{name}", "arguments": '


@dataclass(frozen=True)
class MarkedFormat:
    """A `CallFormat`. Calls are `begin`, then for each call `head`, its arguments and `tail`, with `between`
    between calls (None: there is only one), and `end`. The texts are those of `Layout`.

    `trigger`, with which `begin` begins, can't be part of a plain answer. `is_loose`: small models of the
    family also write the bare object as their whole answer, or within one of `WRAPPERS`."""

    name: str
    trigger: str
    begin: str
    head: str
    tail: str
    between: str | None
    end: str
    style: ArgumentStyle = _JSON
    is_loose: bool = False

    @property
    def marks(self) -> CallMarks:
        return CallMarks((self.trigger, *WRAPPERS), "{") if self.is_loose else CallMarks((self.trigger,))

    @property
    def literals(self) -> Sequence[str]:
        texts = (self.begin, self.head, self.tail, self.between or "", self.end)
        return (*texts, *self.style.literals)

    def write(self, calls: Sequence[ToolCall]) -> str:
        written = [
            Layout(self.begin + self.head if i == 0 else self.head).write(name=call.name, id=call.id, index=i)
            + self.style.write(call.arguments)
            + Layout(self.tail).write(name=call.name, id=call.id, index=i)
            for i, call in enumerate(calls)
        ]
        return (self.between or "").join(written) + self.end

    def call_head(self, tool: GrammarTool) -> str:
        head = Layout(self.begin + self.head).write(name=tool.name, id="0", index=0)
        return head + self.style.raw_head if tool.kind == "grammar" else head

    def grammar(
        self,
        tools: Sequence[GrammarTool],
        *,
        must_call: bool,
        is_parallel: bool,
        answer: dict[str, Any] | None = None,
    ) -> str:
        between = (
            json.dumps(self.between, ensure_ascii=False) if is_parallel and self.between is not None else ""
        )
        begin = quoted(self.begin.removeprefix(self.trigger))
        kinds = {tool.kind == "grammar" for tool in tools}
        ways = []
        if False in kinds:
            ways.append(f"{begin} call {f'({between} call)*' if between else ''} {quoted(self.end)}")
        if True in kinds:
            # Its input ends with the answer, so nothing follows it.
            ways.append(f"{begin} {f'(call {between})*' if between and False in kinds else ''} last_call")
        rules = f"rest: {' | '.join(ways)}\n" + self._calls(tools)
        trigger = quoted(self.trigger)
        if must_call:
            lark = f"start: {trigger} rest\n{rules}"
        elif answer is not None:
            lark = f"start: said | {trigger} rest\nsaid: {any_of([answer])}\n{rules}"
        else:
            # Lazy: text ends at the first trigger, and what follows is a call.
            bare = [i for i, tool in enumerate(tools) if self.is_loose and tool.kind != "grammar"]
            loose = "".join(_loose(i, tools[i]) for i in bare)
            start = "start: said | begun rest" + "".join(f" | loose_{i}" for i in bare)
            lark = f"{start}\nsaid: TEXT\nbegun[lazy]: TEXT {trigger}\n{rules}{loose}{TEXT_RULE}"
        return with_inputs(lark, tools)

    def no_call_grammar(self) -> str:
        trigger = escaped(self.trigger)
        return with_inputs(f"start: TEXT\nTEXT: /(.|\\n)*/ & ~/(.|\\n)*{trigger}(.|\\n)*/\n", ())

    def reader(self, tools: Iterable[ToolSpec], *, is_answer_json: bool = False) -> MarkedReader:
        following = None if self.between is None else Layout(self.tail + self.between + self.head)
        end, tail = Layout(self.tail + self.end), Layout(self.tail)
        ways = [CallSyntax(self.trigger, Layout(self.begin + self.head), following, tail, end)]
        if self.is_loose and not is_answer_json:
            ways += [_loose_way(begin, end) for begin, end in (*WRAPPERS.items(), ("", ""))]
        return MarkedReader(ways, self.style, tools)

    def _calls(self, tools: Sequence[GrammarTool]) -> str:
        """The rules of a call. Its head has only one spelling, so that a model can't get lost in it."""
        rules = any_call_rules(tools)
        for i, tool in enumerate(tools):
            head = Layout(self.head).rule(tool.name)
            if tool.kind == "grammar":
                rules += f"call_{i}: {head} {quoted(self.style.raw_head)} @input_{i}\n"
                continue
            rules += f"call_{i}: {head} args_{i} {Layout(self.tail).rule(tool.name)}\n"
            rules += self.style.rules(f"args_{i}", tool)
        return rules


def any_call_rules(tools: Sequence[GrammarTool]) -> str:
    """The rules `call` and `last_call`, a call of any tool: the input of one with a grammar ends with the
    answer, so nothing follows it. A rule without tools is left out."""
    rules = ""
    for rule, is_last in (("call", False), ("last_call", True)):
        if mine := [f"call_{i}" for i, tool in enumerate(tools) if (tool.kind == "grammar") == is_last]:
            rules += f"{rule}: {' | '.join(mine)}\n"
    return rules


def with_inputs(lark: str, tools: Sequence[GrammarTool]) -> str:
    """The grammar with those of the custom tools' inputs, to which it refers as `@input_0` …"""
    inputs = [
        {"name": f"input_{i}", "lark_grammar": tool.grammar}
        for i, tool in enumerate(tools)
        if tool.kind == "grammar"
    ]
    whole = {"lark_grammar": without_repetitions(lark)}
    return json.dumps({"grammars": [whole, *inputs]}, ensure_ascii=False)


def _loose_way(trigger: str, end: str) -> CallSyntax:
    first = Layout(trigger + "\n" + _LOOSE_HEAD)
    return CallSyntax(trigger, first, None, Layout("}"), Layout("}\n" + end), has_grammars=False)


def _loose(i: int, tool: GrammarTool) -> str:
    """The rule of a call without its tags: once the tool's name is written it is a call, and ends the
    answer."""
    white, gap = "[ \\n]*", "[ \\n]{0,40}"  # within a call, white space is limited
    head = f'\\{{{white}"name"[ ]?:[ ]?"{re.escape(tool.name)}"[ ]?,{white}"arguments"[ ]?:'
    rules = f"loose_{i}: open_{i} /{gap}/ args_{i} /{gap}\\}}/\n"
    wrapped = ""
    for number, (begin, end) in enumerate(WRAPPERS.items()):
        name = f"wrapped_{i}_{number}"
        rules += f"    | {name} /{gap}/ args_{i} /{gap}\\}}{gap}{escaped(end)}/\n"
        wrapped += f"{name}[lazy]: /(.|\\n)*{escaped(begin)}{white}{head}/\n"
    return rules + f"open_{i}[lazy]: /{white}{head}/\n" + wrapped
