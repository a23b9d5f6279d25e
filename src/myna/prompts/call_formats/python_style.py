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

    def feed(self, text: str) -> tuple[str, str | None]:
        self._pending += text
        out = ""
        while True:
            if end := _END.match(self._pending):
                return out + ("}" if self._num_read else "{}"), self._pending[end.end() :]
            key = _KEY.match(self._pending)
            if key is None:
                if _KEY_BEGINNING.fullmatch(self._pending):
                    return out, None
                return out + ("}" if self._num_read else "{}"), self._pending  # not well-formed
            end_of_value = find_value_end(self._pending, key.end())
            if end_of_value is None:
                return out, None
            value = self._pending[key.end() : end_of_value].strip()
            out += ("{" if self._num_read == 0 else ", ") + values.encoded(key[1]) + ": "
            out += self._json(key[1], value)
            self._num_read += 1
            self._pending = self._pending[end_of_value:]

    def _json(self, key: str, text: str) -> str:
        found, _ = values.parsed(text)
        if found is not None:
            return found
        types = values.property_types(self._parameters, key)
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            return values.encoded(text[1:-1])  # a quote in it isn't escaped
        return values.to_json(text, types)


def find_value_end(text: str, start: int) -> int | None:
    """Where a value ends: at the comma or closing bracket that follows it; None if it isn't in the text."""
    depth = 0
    quote = ""
    at = start
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote and _ends_string(text, at):
                quote = ""
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            if depth == 0:
                return at
            depth -= 1
        elif char == "," and depth == 0:
            return at
        at += 1
    return None


def _ends_string(text: str, at: int) -> bool:
    """Whether the quote at that index ends a string: an unescaped apostrophe in a word doesn't."""
    following = text[at + 1 : at + 2]
    return not (following.isalnum() and text[at - 1].isalnum())
