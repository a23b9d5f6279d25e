"""Arguments as a list of named parameters between tags, with strings as they are."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from myna.core.conversation import ToolSpec
from myna.core.overlap import overlap
from myna.prompts.call_formats import values
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import json_rule, moved, parameters_of
from myna.prompts.call_formats.layout import Layout, quoted
from myna.prompts.call_formats.values import STRING

_SCALARS: Final = ("string", "number", "boolean", "null", "array", "object")
_IN_SEVERAL_PLACES: Final = frozenset({"$ref", "anyOf", "oneOf", "allOf", "patternProperties"})


@dataclass(frozen=True)
class XmlStyle:
    """An `ArgumentStyle`. A parameter is `before_key`, the key, `after_key`, the value, `close`, `after`;
    `closing` ends the arguments.

    `line`: white space around each value that doesn't belong to it. `{name}` in `after_key` is the place of a
    mark of the value's type: `marks` has them by JSON type, "" for any other.
    """

    before_key: str
    after_key: str
    close: str
    closing: str
    after: str = ""
    line: str = ""
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def openings(self) -> tuple[str, ...]:
        return self.before_key, self.closing.strip()

    @property
    def literals(self) -> tuple[str, ...]:
        return self.before_key, self.after_key, self.close, self.closing

    @property
    def raw_head(self) -> str:
        return self.before_value("input", "string")

    def before_value(self, key: str, type: str) -> str:
        """What precedes a value of that JSON type."""
        mark = self.marks.get(type, self.marks.get("", ""))
        return self.before_key + key + self.after_key.replace("{name}", mark) + self.line

    @property
    def after_value(self) -> str:
        """What follows a value."""
        return self.line + self.close + self.after

    def write(self, arguments: str) -> str:
        parameters = [
            self.before_value(key, _mark_type(values.type_of(value)))
            + (value if isinstance(value, str) else values.encoded(value))
            + self.after_value
            for key, value in values.object_of(arguments).items()
        ]
        return "".join([*parameters, self.closing])

    def rules(self, name: str, tool: GrammarTool) -> str:
        schema = parameters_of(tool)
        properties, required, is_open = listed_properties(schema)
        names = [f"{name}_{i}" for i in range(len(properties))]
        order = [part if key in required else f"{part}?" for part, key in zip(names, properties, strict=True)]
        rules = ""
        for part, key in zip(names, properties, strict=True):
            rules += self._parameter(part, key, schema)
        if is_open:
            order.append(f"{name}_more*")
            rules += self._other(f"{name}_more")
        return f"{name}: {' '.join([*order, quoted(self.closing)])}\n{rules}"

    def reader(self, tool: ToolSpec) -> "XmlReader":
        return XmlReader(self, tool.parameters)

    def _parameter(self, rule: str, key: str, schema: dict[str, Any]) -> str:
        """The rules of one parameter."""
        node = schema["properties"][key]
        types = values.types_of(node, schema)
        ways, rules = [], ""
        if "string" in types:
            head = quoted(self.before_value(key, "string"))
            options = _string_options(node)
            if options is None:
                ways.append(f"{head} {rule}_text")
                rules += self._text(f"{rule}_text")
            else:
                ways.append(f"{head} ({' | '.join(map(quoted, options))}) {quoted(self.after_value)}")
        if types != STRING and ("string" not in types or self.marks):
            heads = {self.before_value(key, kind) for kind in _SCALARS if kind != "string" and kind in types}
            heads |= {self.before_value(key, "number")} if "integer" in types else set()
            either = " | ".join(map(quoted, sorted(heads)))
            ways.append(f"({either}) {rule}_json {quoted(self.after_value)}")
            rules += f"{rule}_json: {json_rule(schema_alone(key, schema))}\n"
        return f"{rule}: {' | '.join(ways)}\n{rules}"

    def _other(self, rule: str) -> str:
        """The rules of a parameter that the schema doesn't list."""
        types = _SCALARS if self.marks else ("string",)
        ends = sorted({self.before_value("", kind).removeprefix(self.before_key) for kind in types})
        head = f'{quoted(self.before_key)} /[^<>"\\n]{{1,64}}/ ({" | ".join(map(quoted, ends))})'
        return f"{rule}: {head} {rule}_text\n{self._text(f'{rule}_text')}"

    def _text(self, rule: str) -> str:
        """Any text up to the end of a value."""
        end = re.escape(self.after_value).replace("/", "\\/").replace("\\\n", "\\n")
        return f"{rule}[lazy]: /(.|\\n)*{end}/\n"


class XmlReader:
    """Reads parameters; strings come as they are written, other values when they are complete."""

    def __init__(self, style: XmlStyle, parameters: str) -> None:
        self._style = style
        self._parameters = parameters
        self._after_key = Layout(style.after_key)
        self._key_end = style.after_key.split("{name}")[0].split()[0]
        self._pending = ""
        self._num_read = 0
        self._types: frozenset[str] | None = None  # of the value that is being read
        self._is_first = False  # nothing of that value has been read

    def feed(self, text: str) -> tuple[str, str | None]:
        self._pending += text
        out: list[str] = []
        is_over = False
        while not is_over:
            reading = self._parameter if self._types is None else self._value
            at, is_over = reading(out)
            if at is None:
                return "".join(out), None
            self._pending = self._pending[at:]
        return "".join(out), self._pending

    def _parameter(self, out: list[str]) -> tuple[int | None, bool]:
        """Read up to a value, or the end of the arguments. Returns how many characters that were, None if
        more text is needed, and whether the arguments have ended."""
        style, text = self._style, self._pending
        closing = style.closing.strip()
        begin = len(text) - len(text.lstrip())
        rest = text[begin:]
        if rest.startswith(style.before_key):
            start = begin + len(style.before_key)
            end = text.find(self._key_end, start)
            found = self._after_key.match(text, end) if end >= 0 else None
            if end < 0 or (found is not None and found.is_partial):
                return None, False
            if found is not None:
                self._begin_value(text[start:end].strip(), found.name, out)
                return found.end, False
        elif style.before_key.startswith(rest) or (closing.startswith(rest) and rest != closing):
            return None, False
        out.append("}" if self._num_read else "{}")
        return begin + (len(closing) if rest.startswith(closing) else 0), True

    def _begin_value(self, key: str, mark: str, out: list[str]) -> None:
        out.append(("{" if self._num_read == 0 else ", ") + values.encoded(key) + ": ")
        self._num_read += 1
        self._is_first = True
        self._types = values.property_types(self._parameters, key)
        if self._style.marks:
            is_string = mark == self._style.marks["string"]
            self._types = STRING if is_string else values.ANY - STRING
        if self._types == STRING:
            out.append('"')

    def _value(self, out: list[str]) -> tuple[int | None, bool]:
        """Read a value, or a part of a string; returns as `_parameter` does."""
        style, text = self._style, self._pending
        assert self._types is not None
        if len(text) < len(style.line):
            return None, False
        if self._is_first:
            self._is_first = False
            return len(style.line) if text.startswith(style.line) else 0, False
        end = text.find(style.close)
        if end >= 0:
            value = text[:end].removesuffix(style.line)
            is_string = self._types == STRING
            out.append(values.encoded(value)[1:] if is_string else values.to_json(value, self._types))
            self._types = None
            return end + len(style.close), False
        if self._types == STRING:
            shown = len(text) - max(overlap(text, style.line + style.close), overlap(text, style.close))
            out.append(values.encoded(text[:shown])[1:-1])
            self._pending = text[shown:]
        return None, False


def _mark_type(type: str) -> str:
    return "number" if type == "integer" else type


def _string_options(node: Any) -> list[str] | None:
    """The only strings that the schema allows; None for any."""
    options = [node["const"]] if "const" in node else node.get("enum")
    if not isinstance(options, list):
        return None
    return [option for option in options if isinstance(option, str)]


def listed_properties(schema: dict[str, Any]) -> tuple[dict[str, Any], list[str], bool]:
    """The properties of an object's schema, which of them are required, and whether it may have others. A
    schema that describes its properties in several places counts as one that lists none."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not _IN_SEVERAL_PLACES.isdisjoint(schema):
        return {}, [], True
    is_open = schema.get("additionalProperties", True) is not False
    return properties, required if isinstance(required, list) else [], is_open


def schema_alone(key: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a property as a whole schema."""
    node = schema["properties"][key]
    if '"$ref"' not in values.encoded(node):
        return node if isinstance(node, dict) else {}
    path = key.replace("~", "~0").replace("/", "~1")
    root = moved(schema, "/$defs/root")
    return {"$ref": f"#/$defs/root/properties/{path}", "$defs": {"root": root}}
