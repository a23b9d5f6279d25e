"""A call that is the whole answer: a JSON object with the tool's name and arguments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from myna.core.conversation import ToolCall, ToolSpec
from myna.core.requests import CallMarks
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import JsonStyle, any_of, moved, parameters_of
from myna.prompts.call_formats.layout import Layout, quoted
from myna.prompts.call_formats.marked import TEXT_RULE, with_inputs
from myna.prompts.call_formats.marked_reader import CallSyntax, MarkedReader

_JSON: Final = JsonStyle()


@dataclass(frozen=True)
class BareFormat:
    """A `CallFormat` without markers. `arguments` is the key of the call's arguments."""

    name: str
    arguments: str
    literals: tuple[str, ...] = ()

    @property
    def marks(self) -> CallMarks:
        return CallMarks(at_start="{")

    @property
    def _head(self) -> str:
        return '{"name": "{name}", "' + self.arguments + '": '

    def write(self, calls: Sequence[ToolCall]) -> str:
        """Several calls are one object a line, though models of the family write one."""
        head = Layout(self._head)
        return "\n".join(f"{head.write(name=call.name)}{_JSON.write(call.arguments)}}}" for call in calls)

    def call_head(self, tool: GrammarTool) -> str:
        head = Layout(self._head).write(name=tool.name)
        return head + _JSON.raw_head if tool.kind == "grammar" else head

    def grammar(
        self,
        tools: Sequence[GrammarTool],
        *,
        must_call: bool,
        is_parallel: bool,
        answer: dict[str, Any] | None = None,
    ) -> str:
        if must_call:
            lark = f"start: any_call\n{self._calls(tools)}"
        elif answer is not None:
            lark = f"start: {any_of([answer, *map(self._call_schema, tools)])}\n"
        else:
            # Plain text must not begin like a call, or a call could be mistaken for text.
            lark = f"start: said? | any_call\nsaid: /[^{{\\s]/ TEXT\n{self._calls(tools)}{TEXT_RULE}"
        return with_inputs(lark, tools)

    def no_call_grammar(self) -> str:
        return with_inputs(f"start: said?\nsaid: /[^{{\\s]/ TEXT\n{TEXT_RULE}", ())

    def reader(self, tools: Iterable[ToolSpec], *, is_answer_json: bool = False) -> MarkedReader:
        way = CallSyntax("", Layout(self._head), None, Layout("}"), Layout("}"))
        return MarkedReader([way], _JSON, tools)

    def _calls(self, tools: Sequence[GrammarTool]) -> str:
        rules = f"any_call: {' | '.join(f'call_{i}' for i in range(len(tools)))}\n"
        for i, tool in enumerate(tools):
            head = quoted(self.call_head(tool))
            if tool.kind == "grammar":
                rules += f"call_{i}: {head} @input_{i}\n"
            else:
                rules += f'call_{i}: {head} args_{i} "}}"\n{_JSON.rules(f"args_{i}", tool)}'
        return rules

    def _call_schema(self, tool: GrammarTool) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "name": {"const": tool.name},
                self.arguments: moved(parameters_of(tool), f"/properties/{self.arguments}"),
            },
            "required": ["name", self.arguments],
            "additionalProperties": False,
        }
