"""Arguments as keywords of a Python call."""

import re
from typing import Final

from myna.core.conversation import ToolSpec
from myna.prompts.call_formats import values
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import json_rule, parameters_of
from myna.prompts.call_formats.sequence import sequence_rules
from myna.prompts.call_formats.xml_style import listed_properties, schema_alone

_KEY: Final = re.compile(r"[\s,]*([^\s=,()'\"\[\]{}]+)\s*=")
_KEY_BEGINNING: Final = re.compile(r"[\s,]*[^\s=,()'\"\[\]{}]*\s*")
_END: Final = re.compile(r"[\s,]*\)")


class PythonStyle:
    """An `ArgumentStyle`: `key=value, key=value)`. Values are JSON; literals of Python are read, too."""

    openings: tuple[str, ...] = ()
    literals: tuple[str, ...] = ()
    raw_head = 'input="'

    def write(self, arguments: str) -> str:
        named = values.object_of(arguments).items()
        return ", ".join(f"{key}={values.encoded(value)}" for key, value in named) + ")"

    def rules(self, name: str, tool: GrammarTool) -> str:
        schema = parameters_of(tool)
        properties, required, is_open = listed_properties(schema)
        rules = ""
        items = []
        for i, key in enumerate(properties):
            rules += f'{name}_{i}: "{key}=" {name}_{i}_json\n'
            rules += f"{name}_{i}_json: {json_rule(schema_alone(key, schema))}\n"
            items.append((f"{name}_{i}", key in required))
        if is_open:
            other = "/[A-Za-z_][A-Za-z0-9_]{0,63}=/"
            if properties:
                other += f" & ~/({'|'.join(re.escape(key) for key in properties)})=/"
            key = f"{name.upper()}_KEY"
            rules += f"{name}_more: {key} {name}_any\n{key}: {other}\n{name}_any: {json_rule({})}\n"
        return sequence_rules(name, items, ", ", ")", f"{name}_more" if is_open else None) + rules

    def reader(self, tool: ToolSpec) -> "PythonReader":
        return PythonReader(tool.parameters)


class PythonReader:
    """Reads keywords; each value comes when it is complete."""

    def __init__(self, parameters: str) -> None:
        self._parameters = parameters
        self._pending = ""
        self._num_read = 0
        self._key: str | None = None  # of the value that is being read
        self._scanner = _ValueScanner()

    def feed(self, text: str) -> tuple[str, str | None]:
        self._pending += text
        out = ""
        while True:
            if self._key is not None:
                end = self._scanner.find_end(self._pending)
                if end is None:
                    return out, None
                out += self._json(self._key, self._pending[:end].strip())
                self._pending, self._key = self._pending[end:], None
            if over := _END.match(self._pending):
                return out + ("}" if self._num_read else "{}"), self._pending[over.end() :]
            key = _KEY.match(self._pending)
            if key is None:
                if _KEY_BEGINNING.fullmatch(self._pending):
                    return out, None
                return out + ("}" if self._num_read else "{}"), self._pending  # not well-formed
            out += ("{" if self._num_read == 0 else ", ") + values.encoded(key[1]) + ": "
            self._num_read += 1
            self._pending, self._key, self._scanner = self._pending[key.end() :], key[1], _ValueScanner()

    def _json(self, key: str, text: str) -> str:
        found, _ = values.parsed(text)
        if found is not None:
            return found
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            return values.encoded(text[1:-1])  # a quote in it isn't escaped
        return values.to_json(text, values.property_types(self._parameters, key))


class _ValueScanner:
    """Finds where a value ends: at the comma or closing bracket that follows it."""

    def __init__(self) -> None:
        self._at = 0
        self._depth = 0
        self._quote = ""

    def find_end(self, text: str) -> int | None:
        """The end, or None if more text is needed; to be called with the same text and what follows it."""
        while self._at < len(text):
            char = text[self._at]
            if self._quote:
                if self._at + 1 == len(text):
                    return None  # what follows decides
                if char == "\\":
                    self._at += 1
                elif char == self._quote and not _is_apostrophe(text, self._at):
                    self._quote = ""
            elif char in "'\"":
                self._quote = char
            elif char in "([{":
                self._depth += 1
            elif char in ",)]}" and self._depth == 0:
                return self._at
            elif char in ")]}":
                self._depth -= 1
            self._at += 1
        return None


def _is_apostrophe(text: str, at: int) -> bool:
    """Whether the quote is within a word: it is not escaped then, and ends no string."""
    return text[at - 1].isalnum() and text[at + 1].isalnum()
