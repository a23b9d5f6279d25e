"""Arguments as MiniMax-M3 writes them: elements named like the parameters, nested for objects and arrays."""

import json
import re
from typing import Any, Final

from myna.core.conversation import ToolSpec
from myna.prompts.call_formats import values
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import parameters_of
from myna.prompts.call_formats.schema_parts import ITEM, element_node, property_node
from myna.prompts.call_formats.schema_rules import SchemaRules, ValueSyntax

MARK: Final = "]<]minimax[>["
_CLOSING: Final = MARK + "</invoke>"
_OPEN: Final = re.compile(re.escape(MARK) + r"<([^<>/][^<>]*)>")
_CLOSE: Final = re.compile(re.escape(MARK) + r"</[^<>]*>")
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
        self._pending = ""
        self._num_read = 0

    def feed(self, text: str) -> tuple[str, str | None]:
        self._pending += text
        out = ""
        while True:
            self._pending = self._pending.lstrip()
            if self._pending.startswith(_CLOSING) or not _may_begin(self._pending):
                return out + ("}" if self._num_read else "{}"), self._pending.removeprefix(_CLOSING)
            head = _OPEN.match(self._pending)
            node = property_node(self._schema, head[1], self._schema) if head else {}
            found = _read(self._pending, head.end(), node, self._schema) if head else None
            if head is None or found is None:
                return out, None
            value, end = found
            out += ("{" if self._num_read == 0 else ", ") + values.encoded(head[1]) + ": " + value
            self._num_read += 1
            self._pending = self._pending[end:]


def _may_begin(text: str) -> bool:
    """Whether the text is, or may become, an element or the end of all."""
    return text.startswith(MARK + "<") or (MARK + "<").startswith(text)


def _read(
    text: str, at: int, node: Any, root: dict[str, Any], depth: int = _MAX_DEPTH
) -> tuple[str, int] | None:
    """The JSON of the element's content that begins there, and where the element ends; None if it isn't
    complete. Any end tag ends it."""
    begin, parts = at, list[tuple[str, str]]()
    types = values.types_of(node, root)
    while (mark := text.find(MARK, at)) >= 0:
        if closing := _CLOSE.match(text, mark):
            return _json(parts, text[begin:mark], types), closing.end()
        head = _OPEN.match(text, mark)
        if head is None and (text.find(">", mark + len(MARK)) < 0 or depth == 0):
            return None
        if head is None:  # a mark within a text
            at = mark + len(MARK)
            continue
        inner = element_node(node, head[1], len(parts), root)
        found = _read(text, head.end(), inner, root, depth - 1)
        if found is None:
            return None
        parts.append((head[1], found[0]))
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
