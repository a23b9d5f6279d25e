"""Arguments as keywords of a Python call."""

import re
from typing import Final

from myna.core.conversation import ToolSpec
from myna.prompts.call_formats import values
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import parameters_of
from myna.prompts.call_formats.layout import quoted
from myna.prompts.call_formats.schema_parts import (
    Node,
    alternative_rules,
    find_name,
    json_of,
    object_limits,
    odd_names,
    others_of,
    properties_of,
    property_node,
)
from myna.prompts.call_formats.sequence import sequence_rules

# A key; a schema may name one that isn't an identifier of Python.
_NAME: Final = r"[^\s=,()'\"\[\]{}][^=,()\n]{0,255}?"
_OTHER: Final = "[A-Za-z_][A-Za-z0-9_]{0,63}"  # the name of a keyword that the schema doesn't list
_KEY: Final = re.compile(rf"[\s,]*({_NAME})\s*=")
_PLAIN_NAME: Final = re.compile(rf"(?:{_NAME})(?<!\s)")
_KEY_BEGINNING: Final = re.compile(rf"[\s,]*({_NAME})?\s*")
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
        return alternative_rules(name, schema, lambda rule, leaf: self._keywords(rule, leaf, schema))

    def _keywords(self, rule: str, leaf: Node, root: Node) -> str:
        """The rules of one alternative of a schema."""
        items, more, rules = list[tuple[str, bool]](), list[str](), ""
        for prop in properties_of(leaf, root):
            part = f"{rule}_{len(items)}"
            rules += f"{part}: {quoted(f'{prop.key}=')} {part}_json\n"
            rules += f"{part}_json: {json_of(prop.node, root)}\n"
            items.append((part, prop.is_required))
        for others in others_of(leaf):
            part = f"{rule}_m{len(more)}"
            rules += f'{part}: {part.upper()} {part}_json\n{part.upper()}: ({others.name(_OTHER)}) "="\n'
            rules += f"{part}_json: {json_of(others.node, root)}\n"
            more.append(part)
        if more:
            rules += f"{rule}_more: {' | '.join(more)}\n"
        least, most = object_limits(leaf)
        last = f"{rule}_more" if more else None
        whole = sequence_rules(rule, items, ", ", ")", last, least=least, most=most)
        return whole and whole + rules

    def reader(self, tool: ToolSpec) -> "PythonReader":
        return PythonReader(tool.parameters)


class PythonReader:
    """Reads keywords; each value comes when it is complete."""

    def __init__(self, parameters: str) -> None:
        self._schema = values.object_of(parameters)
        self._odd = odd_names(self._schema, _PLAIN_NAME.fullmatch)
        self._pending = ""
        self._num_read = 0
        self._key = ""  # of the value that is being read
        self._scanner = _ValueScanner()

    def feed(self, text: str) -> tuple[str, str | None]:
        self._pending += text
        out = ""
        while True:
            if self._key:
                end = self._scanner.find_end(self._pending)
                if end is None:
                    return out, None
                out += self._json(self._key, self._pending[:end].strip())
                self._pending, self._key = self._pending[end:], ""
            if over := _END.match(self._pending):
                return out + ("}" if self._num_read else "{}"), self._pending[over.end() :]
            found = self._find_key()
            if found is None:
                if _KEY_BEGINNING.fullmatch(self._pending):
                    return out, None
                return out + ("}" if self._num_read else "{}"), self._pending  # not well-formed
            self._key, end = found
            if not self._key:
                return out, None
            out += ("{" if self._num_read == 0 else ", ") + values.encoded(self._key) + ": "
            self._num_read += 1
            self._pending, self._scanner = self._pending[end:], _ValueScanner()

    def _find_key(self) -> tuple[str, int] | None:
        """The next key and where its value begins; a key of "" if one that the schema names may still come,
        None if there is none."""
        begin = len(self._pending) - len(self._pending.lstrip(", \t\r\n"))
        odd = find_name(self._pending, begin, self._odd, "=")
        if odd is not None:
            return odd, begin + len(odd) + 1
        key = _KEY.match(self._pending)
        return None if key is None else (key[1], key.end())

    def _json(self, key: str, text: str) -> str:
        found, _ = values.parsed(text)
        if found is not None:
            return found
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            return values.encoded(text[1:-1])  # a quote in it isn't escaped
        return values.to_json(
            text, values.types_of(property_node(self._schema, key, self._schema), self._schema)
        )


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
