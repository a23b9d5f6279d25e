"""gpt-oss's calls: messages to a function, in any channel.

`decoding.harmony` passes each on with the same header, which is read like a pair of marks; in grammars a
model may choose among the headers that it knows.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from myna.core.conversation import ToolCall, ToolSpec
from myna.core.harmony import CALL_END, CALL_HEAD, COMMENTARY, END, FINAL, FUNCTIONS, MESSAGE, START
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import any_of
from myna.prompts.call_formats.layout import Layout
from myna.prompts.call_formats.marked import MarkedFormat, any_call_rules, with_inputs
from myna.prompts.call_formats.marked_reader import CallSyntax, MarkedReader
from myna.prompts.harmony_grammar import ANALYSIS_RULES

_ROLE_HEAD: Final = f" to={FUNCTIONS}"
# Text of a message, up to what may end it.
_BODY: Final = "/(.|\\n)*/ & ~/(.|\\n)*<\\|(end|start|channel|call|return)\\|>(.|\\n)*/"
_RULES: Final = (
    f"before: (analysis | preamble)*\n{ANALYSIS_RULES}"
    f"preamble: preamble_text {json.dumps(START)}\n"
    f"preamble_text[lazy]: {json.dumps(COMMENTARY + MESSAGE)} /(.|\\n)*/ {json.dumps(END)}\n"
    f'content_type: (" "? "<|constrain|>" "json" | " json" | " code")? " "? {json.dumps(MESSAGE)}\n'
)
_FINAL_TEXT: Final = f"final: {json.dumps(FINAL)} BODY\nBODY: {_BODY}\n"


class HarmonyFormat(MarkedFormat):
    """A `CallFormat`."""

    def __init__(self) -> None:
        super().__init__("harmony", CALL_HEAD, CALL_HEAD, f"{{name}}{MESSAGE}", CALL_END, "", "")

    @property
    def literals(self) -> Sequence[str]:
        """Vocabularies keep them visible."""
        return ()

    def write(self, calls: Sequence[ToolCall]) -> str:
        """With the recipient in the role, as the template writes one."""
        return f"{END}{START}".join(
            f"{_ROLE_HEAD}{call.name}{COMMENTARY} json{MESSAGE}{self.style.write(call.arguments)}"
            for call in calls
        )

    def grammar(
        self,
        tools: Sequence[GrammarTool],
        *,
        must_call: bool,
        is_parallel: bool,
        answer: dict[str, Any] | None = None,
    ) -> str:
        again = f"({json.dumps(END + START)} call)*" if is_parallel else ""
        lark = f"start: before (calls{'' if must_call else ' | final'})\n{_RULES}"
        kinds = {tool.kind == "grammar" for tool in tools}
        ways = [f"call {again}"] if False in kinds else []
        if True in kinds:  # its input ends with the answer, so nothing follows it
            ways.append("last_call")
        lark += f"calls: {' | '.join(ways)}\n{any_call_rules(tools)}"
        lark += "".join(self._call(i, tool) for i, tool in enumerate(tools))
        if not must_call:
            as_json = f"final: {json.dumps(FINAL)} json\njson: "
            lark += _FINAL_TEXT if answer is None else f"{as_json}{any_of([answer])}\n"
        return with_inputs(lark, tools)

    def reader(self, tools: Iterable[ToolSpec], *, is_answer_json: bool = False) -> MarkedReader:
        """It also reads a call as templates write it."""
        head, end = f"{CALL_HEAD}{{name}}{MESSAGE}", Layout(CALL_END)
        in_role = f"{_ROLE_HEAD}{{name}}{COMMENTARY} json{MESSAGE}"
        ways = [
            CallSyntax(CALL_HEAD, Layout(head), Layout(CALL_END + head), end, end),
            CallSyntax(_ROLE_HEAD, Layout(in_role), Layout(END + START + in_role), end, end),
        ]
        return MarkedReader(ways, self.style, tools)

    def no_call_grammar(self) -> str:
        return with_inputs(f"start: before final\n{_RULES}{_FINAL_TEXT}", ())

    def _call(self, i: int, tool: GrammarTool) -> str:
        to = f"to={FUNCTIONS}{tool.name}"
        heads = [f"{COMMENTARY} {to}", f" {to}{COMMENTARY}", f"<|channel|>analysis {to}"]
        rules = f"head_{i}: ({' | '.join(map(json.dumps, heads))}) content_type\n"
        if tool.kind == "grammar":
            return rules + f"call_{i}: head_{i} {json.dumps(self.style.raw_head)} @input_{i}\n"
        return rules + f"call_{i}: head_{i} args_{i}\n" + self.style.rules(f"args_{i}", tool)
