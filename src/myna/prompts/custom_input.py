"""Custom tools: described to models as functions with one JSON string, which is read back as plain text."""

import json
import re
from typing import Final

from myna.core.conversation import ToolSpec

PARAMETERS: Final = json.dumps(
    {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    }
)
_HEAD: Final = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_WHOLE: Final = re.compile(r'(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*')
_HALF_PAIR: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}$")


def text_tool(name: str, description: str) -> ToolSpec:
    """A custom tool that takes any text."""
    return ToolSpec(name, description, PARAMETERS, kind="text")


def grammar_tool(name: str, description: str, syntax: str, definition: str) -> ToolSpec:
    """A custom tool whose input follows a grammar. The description includes it, so that the model knows
    it."""
    hint = f"The input follows this {syntax} grammar:\n{definition}"
    lark = definition if syntax == "lark" else f"start: /{_in_slashes(definition)}/\n"
    both = "\n\n".join(part for part in (description, hint) if part)
    return ToolSpec(name, both, PARAMETERS, kind="grammar", grammar=lark)


def as_arguments(text: str) -> str:
    """The input of an earlier call in the form that models see."""
    return json.dumps({"input": text}, ensure_ascii=False)


class InputReader:
    """Incrementally reads the text inside `{"input": "…"}`."""

    def __init__(self) -> None:
        self._pending = ""
        self._is_inside = False

    def feed(self, piece: str) -> str:
        self._pending += piece
        if not self._is_inside:
            head = _HEAD.match(self._pending)
            if head is None:
                return ""
            self._is_inside, self._pending = True, self._pending[head.end() :]
        whole = _WHOLE.match(self._pending)
        assert whole is not None
        ready = whole[0]
        if half := _HALF_PAIR.search(ready):
            ready = ready[: half.start()]
        self._pending = self._pending[len(ready) :]
        text: str = json.loads(f'"{ready}"', strict=False)
        return text


def _in_slashes(pattern: str) -> str:
    """A regular expression, escaped for use between slashes in Lark."""
    escaped = re.sub(r"\\.|/", lambda match: "\\/" if match[0] == "/" else match[0], pattern, flags=re.DOTALL)
    return escaped.replace("\n", "\\n")
