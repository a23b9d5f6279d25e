"""Arguments as MiniMax-M3 writes them: elements named like the parameters, nested for objects and arrays."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from myna.core.conversation import ToolSpec
from myna.prompts.call_formats import values
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import parameters_of
from myna.prompts.call_formats.schema_parts import ITEM, element_node, find_name, odd_names, property_node
from myna.prompts.call_formats.schema_rules import SchemaRules, ValueSyntax

MARK: Final = "]<]minimax[>["
_CLOSING: Final = MARK + "</invoke>"
_PLAIN_NAME: Final = re.compile(r"[^<>/][^<>]*")
_MAX_DEPTH: Final = 64


class MiniMaxStyle:
    """An `ArgumentStyle`."""

    openings = (MARK + "<",)
    literals = (MARK, _CLOSING)
    raw_head = MARK + "<input>"

    def write(self, arguments: str) -> str:
        return _elements(values.object_of(arguments)) + _CLOSING

    def rules(self, name: str, tool: GrammarTool) -> str:
        rules = SchemaRules(name, parameters_of(tool), _SYNTAX)
        rules.add_arguments(_CLOSING)
        return rules.text

    def reader(self, tool: ToolSpec) -> "MiniMaxReader":
        return MiniMaxReader(tool.parameters)


class MiniMaxReader:
    """Reads elements; each value comes when it is complete."""

    def __init__(self, parameters: str) -> None:
        self._schema = values.object_of(parameters)
        self._odd = odd_names(self._schema, _PLAIN_NAME.fullmatch)
        self._pending = ""
        self._num_read = 0

    def feed(self, text: str) -> tuple[str, str | None]:
        self._pending += text
        out = ""
        while True:
            self._pending = self._pending.lstrip()
            if self._pending.startswith(_CLOSING) or not _may_begin(self._pending):
                return out + ("}" if self._num_read else "{}"), self._pending.removeprefix(_CLOSING)
            elements = _Elements(self._pending, self._schema, self._odd)
            head = elements.tag(0, MARK + "<")
            if head is None or not head[0]:
                return out, None
            key, start = head
            found = elements.read(start, property_node(self._schema, key, self._schema))
            if found is None:
                return out, None
            value, end = found
            out += ("{" if self._num_read == 0 else ", ") + values.encoded(key) + ": " + value
            self._num_read += 1
            self._pending = self._pending[end:]


def _may_begin(text: str) -> bool:
    """Whether the text is, or may become, an element or the end of all."""
    return text.startswith(MARK + "<") or (MARK + "<").startswith(text)


@dataclass(frozen=True, slots=True)
class _Elements:
    """The elements in a text, whose end may be missing. `odd` are the schema's names that aren't plain."""

    text: str
    root: dict[str, Any]
    odd: list[str]

    def tag(self, at: int, begin: str) -> tuple[str, int] | None:
        """The name in a tag that begins so, and where the tag ends; "" as a name if more text is needed, None
        if there is no tag."""
        if not self.text.startswith(begin, at):
            return ("", at) if begin.startswith(self.text[at:]) else None
        start = at + len(begin)
        odd = find_name(self.text, start, self.odd, ">")
        if odd is not None:
            return odd, start + len(odd) + 1
        end = self.text.find(">", start)
        if end < 0:
            return "", at
        name = self.text[start:end]
        return (name, end + 1) if _PLAIN_NAME.fullmatch(name) else None

    def read(self, at: int, node: Any, depth: int = _MAX_DEPTH) -> tuple[str, int] | None:
        """The JSON of the element's content that begins there, and where the element ends; None if it isn't
        complete. Any end tag ends it."""
        begin, parts = at, list[tuple[str, str]]()
        types = values.types_of(node, self.root)
        while depth and (mark := self.text.find(MARK, at)) >= 0:
            if (closing := self.tag(mark, MARK + "</")) is not None:
                whole = _json(parts, self.text[begin:mark], types)
                return (whole, closing[1]) if closing[0] else None
            head = self.tag(mark, MARK + "<")
            if head is None:  # a mark within a text
                at = mark + len(MARK)
                continue
            name, start = head
            inner = element_node(node, name, len(parts), self.root)
            found = self.read(start, inner, depth - 1) if name else None
            if found is None:
                return None
            parts.append((name, found[0]))
            begin = at = found[1]
        return None


def _json(parts: list[tuple[str, str]], text: str, types: frozenset[str]) -> str:
    if not parts and not text and "string" not in types:
        return "[]" if "array" in types else "{}" if "object" in types else "null"
    if not parts:
        return values.to_json(text, types)
    if "array" in types and all(name == ITEM for name, _ in parts):
        return f"[{', '.join(value for _, value in parts)}]"
    return f"{{{', '.join(f'{values.encoded(name)}: {value}' for name, value in parts)}}}"


def _elements(value: object) -> str:
    """The content of an element."""
    match value:
        case dict():
            return "".join(f"{MARK}<{key}>{_elements(inner)}{MARK}</{key}>" for key, inner in value.items())
        case list():
            return "".join(f"{MARK}<{ITEM}>{_elements(item)}{MARK}</{ITEM}>" for item in value)
        case str():
            return value
        case _:
            return json.dumps(value)


# Every value ends where its closing tag begins, so that grammars can distinguish that from an opening one.
_END: Final = MARK + "</"
_SYNTAX: Final = ValueSyntax(
    write=lambda value: _elements(value) + _END,
    object=("", _END),
    array=("", _END),
    string=("", _END),
    stop=MARK,
    after_scalar=_END,
    separator="",
    before_key=MARK + "<",
    after_key=">",
    after_value="{key}>",
    item=(f"{MARK}<{ITEM}>", f"{ITEM}>"),
    is_plain=True,
)
