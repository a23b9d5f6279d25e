"""Functionary 3.2's calls: parts of the answer whose recipient is a function.

`decoding.recipients` passes on text without its recipient, and each call with the mark before it.
"""

from collections.abc import Sequence
from typing import Any, Final

from myna.core.functionary import LEAD, TO_ALL
from myna.core.requests import CallMarks
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import any_of
from myna.prompts.call_formats.layout import escaped, quoted
from myna.prompts.call_formats.marked import MarkedFormat, with_inputs

_SAID: Final = f"SAID: /{escaped(TO_ALL)}(.|\\n)*/\n"
_NO_CALL: Final = f"/(.|\\n)*/ & ~/(.|\\n)*{escaped(LEAD)}[A-Za-z0-9_\\-]+\\n\\{{(.|\\n)*/"


class FunctionaryFormat(MarkedFormat):
    """A `CallFormat`. Grammars begin behind the mark with which the prompt ends."""

    def __init__(self) -> None:
        super().__init__("functionary-3.2", LEAD, LEAD, "{name}\n", "", LEAD, "")

    @property
    def marks(self) -> CallMarks:
        return CallMarks((LEAD,), has_recipients=True)

    def call_head(self, tool: GrammarTool) -> str:
        return super().call_head(tool).removeprefix(LEAD)

    def grammar(
        self,
        tools: Sequence[GrammarTool],
        *,
        must_call: bool,
        is_parallel: bool,
        answer: dict[str, Any] | None = None,
    ) -> str:
        kinds = {tool.kind == "grammar" for tool in tools}
        again = quoted(LEAD)
        # A call whose input follows a grammar is the last.
        more = f"({again} call)*" if is_parallel and False in kinds else ""
        more += f" ({again} last_call)?" if is_parallel and True in kinds else ""
        ways = [f"call {more}"] if False in kinds else []
        ways += ["last_call"] if True in kinds else []
        lark = f"calls: {' | '.join(ways)}\n{self._calls(tools)}"
        if must_call:
            return with_inputs(f"start: calls\n{lark}", tools)
        if answer is not None:
            json = f"json: {any_of([answer])}\n"
            return with_inputs(f"start: {quoted(TO_ALL)} json | calls\n{json}{lark}", tools)
        start = f"start: SAID | calls{''.join(f' | spoken_{i}' for i in range(len(tools)))}\n{_SAID}"
        spoken = "".join(self._spoken(i, tool, more) for i, tool in enumerate(tools))
        return with_inputs(start + lark + spoken, tools)

    def no_call_grammar(self) -> str:
        return with_inputs(f"start: TEXT\nTEXT: {_NO_CALL}\n", ())

    def _spoken(self, i: int, tool: GrammarTool, more: str) -> str:
        """The rule of text followed by a call of that tool: as soon as the tool is named, it is one."""
        text = f"/{escaped(TO_ALL)}(.|\\n)*{escaped(LEAD + tool.name)}\\n/"
        if tool.kind == "grammar":
            arguments = f"{quoted(self.style.raw_head)} @input_{i}"
        else:
            arguments = f"args_{i} {more}"
        return f"spoken_{i}: text_{i} {arguments}\ntext_{i}[lazy]: {text}\n"
