"""Arguments as Gemma 4 writes them: like JSON, with bare keys and strings between marks of their own."""

import json
import re
from typing import Final

from myna.core.conversation import ToolSpec
from myna.core.overlap import overlap
from myna.prompts.call_formats import values
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import parameters_of
from myna.prompts.call_formats.schema_parts import find_name, odd_names
from myna.prompts.call_formats.schema_rules import SchemaRules, ValueSyntax

QUOTE: Final = '<|"|>'
# A key or a value without quotes; there may be spaces within it.
_WORD: Final = re.compile(r"[^\s,:{}\[\]<\"](?:[^,:{}\[\]<\n]{0,255}[^\s,:{}\[\]<])?")
_STRUCTURE: Final = {"{": "{", "[": "[", "}": "}", "]": "]", ",": ", ", ":": ": "}


class GemmaStyle:
    """An `ArgumentStyle`. Keys are in alphabetical order, as the family's template writes them."""

    openings = ("{",)
    literals = (QUOTE,)
    raw_head = "{input:" + QUOTE

    def write(self, arguments: str) -> str:
        return _written(values.object_of(arguments))

    def rules(self, name: str, tool: GrammarTool) -> str:
        rules = SchemaRules(name, parameters_of(tool), _SYNTAX)
        rules.add_arguments("}")
        return rules.text

    def reader(self, tool: ToolSpec) -> "GemmaReader":
        return GemmaReader(tool.parameters)


class GemmaReader:
    """Turns the text into JSON as it comes."""

    def __init__(self, parameters: str) -> None:
        self._odd = odd_names(values.object_of(parameters), _WORD.fullmatch)
        self._pending = ""
        self._open = ""  # the brackets that aren't closed
        self._is_key = False  # one is next
        self._quote = ""  # what ends the string that is being read

    def feed(self, text: str) -> tuple[str, str | None]:
        self._pending += text
        out: list[str] = []
        while self._pending:
            num_read = self._string(out) if self._quote else self._outside(out)
            if num_read is None:
                break
            self._pending = self._pending[num_read:]
            if not self._open:
                return "".join(out), self._pending
        return "".join(out), None

    def _string(self, out: list[str]) -> int | None:
        """Read a part of a string. Returns how many characters were read, None if more text is needed."""
        text = self._pending
        end = text.find(self._quote)
        if end >= 0:
            out.append(values.encoded(text[:end])[1:])
            num_read = end + len(self._quote)
            self._quote = ""
            return num_read
        shown = len(text) - overlap(text, self._quote)
        out.append(values.encoded(text[:shown])[1:-1])
        return shown or None

    def _outside(self, out: list[str]) -> int | None:
        """Read a mark, a key, or a value that isn't a string; returns as `_string` does."""
        text = self._pending
        if self._is_key and (odd := find_name(text, 0, self._odd, ":")) is not None:
            self._is_key = not odd
            out.append(values.encoded(odd) if odd else "")
            return len(odd) or None
        if text.startswith(QUOTE):
            out.append('"')
            self._quote = QUOTE
            return len(QUOTE)
        if QUOTE.startswith(text):
            return None
        if text[0] in _STRUCTURE:
            self._open = self._open + text[0] if text[0] in "{[" else self._open[: -(text[0] in "}]") or None]
            self._is_key = text[0] == "{" or (text[0] == "," and self._open.endswith("{"))
            out.append(_STRUCTURE[text[0]])
            return 1
        if text[0] == '"':
            out.append('"')
            self._quote = '"'
            return 1
        if (word := _WORD.match(text)) is None:
            return 1  # white space
        if not (rest := text[word.end() :].lstrip()):
            return None
        is_key = rest.startswith(":")
        out.append(values.encoded(word[0]) if is_key else values.to_json(word[0], values.ANY))
        return word.end()


def _written(value: object) -> str:
    match value:
        case dict():
            pairs = [f"{key}:{_written(value[key])}" for key in sorted(value, key=str.lower)]
            return "{" + ",".join(pairs) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case str():
            return QUOTE + value + QUOTE
        case _:
            return json.dumps(value)


_SYNTAX: Final = ValueSyntax(
    write=_written,
    object=("{", "}"),
    array=("[", "]"),
    string=(QUOTE, QUOTE),
    stop=QUOTE,
    after_scalar="",
    separator=",",
    before_key="",
    after_key=":",
    after_value="",
    item=("", ""),
    is_sorted=True,
)
