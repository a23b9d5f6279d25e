"""Arguments as a list of named parameters between tags, with strings as they are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from myna.core.conversation import ToolSpec
from myna.core.overlap import overlap
from myna.prompts.call_formats import values
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import parameters_of
from myna.prompts.call_formats.layout import Layout, quoted
from myna.prompts.call_formats.raw_text import Unquoted, string_parts, text_terminal
from myna.prompts.call_formats.schema_parts import (
    Node,
    UnlistedProperties,
    alternative_rules,
    find_name,
    json_of,
    leaves,
    object_limits,
    odd_names,
    others_of,
    properties_of,
    property_node,
)
from myna.prompts.call_formats.sequence import sequence_rules
from myna.prompts.call_formats.values import STRING

# The name of a parameter that the schema doesn't list.
_ANY_KEY: Final = '[^<>"\\s]([^<>"\\n]{0,62}[^<>"\\s])?'
# The beginning of an array or object, not as Python writes it.
_JSON: Final = re.compile(r"\s*([\[{])\s*[\"\[{\]}\d\-tfn]")
_BRACKETS: Final = {"[": "array", "{": "object"}
_ESCAPE: Final = re.compile(r"\\.", re.DOTALL)


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
        return alternative_rules(name, schema, lambda rule, leaf: self._parameters(rule, leaf, schema))

    def reader(self, tool: ToolSpec) -> "XmlReader":
        return XmlReader(self, tool.parameters)

    def _parameters(self, rule: str, leaf: Node, root: Node) -> str:
        """The rules of the parameters that one alternative of a schema lists, and of others."""
        items, rules = list[tuple[str, bool]](), ""
        for prop in properties_of(leaf, root):
            part = f"{rule}_{len(items)}"
            items.append((part, prop.is_required))
            seen = property_node(root, prop.key, root)
            rules += _Parameter(self, part, root, prop.key).rules(prop.node, seen)
        more = [f"{rule}_m{i}" for i, _ in enumerate(others_of(leaf))]
        for part, others in zip(more, others_of(leaf), strict=True):
            rules += _Parameter(self, part, root, others).rules(others.node, others.node)
        least, most = object_limits(leaf)
        last = f"({' | '.join(more)})" if more else None
        whole = sequence_rules(rule, items, "", self.closing, last, least=least, most=most)
        return whole and whole + rules


@dataclass(frozen=True, slots=True)
class _Parameter:
    """Builds the rule `rule` of one parameter, or of any whose name is one of several."""

    style: XmlStyle
    rule: str
    root: Node
    key: str | UnlistedProperties

    def rules(self, node: Any, seen: Any) -> str:
        """A reader knows the value's type from its mark, if there are marks, otherwise from `seen`."""
        if self.style.marks:
            others = list(_without_strings(node, self.root))
            return self._alternatives(string_parts(node, self.root), others)
        if "string" not in values.types_of(seen, self.root):
            return self._alternatives([], [node if isinstance(node, dict) else {}])
        found = Unquoted(node, seen, self.root)
        return self._alternatives(found.parts, [_typed(leaf, types) for leaf, types in found.rest])

    def _alternatives(self, texts: list[str], others: list[Node]) -> str:
        """A text, or JSON of one of the other schemas."""
        style, rule = self.style, self.rule
        ways, rules = list[str](), ""
        if texts:
            name, line = text_terminal(texts, stop=style.close, closing=style.after_value)
            ways.append(f"{rule}_string {name}")
            rules += self._head("string", ["string"]) + line
        if others:
            kinds = {kind for node in others for kind in values.types_of(node, self.root)} - STRING
            ways.append(f"{rule}_other {rule}_json {quoted(style.after_value)}")
            rules += self._head("other", sorted({_mark_type(kind) for kind in kinds}))
            whole = others[0] if len(others) == 1 else {"anyOf": others}
            rules += f"{rule}_json: {json_of(whole, self.root)}\n"
        return f"{rule}: {' | '.join(ways)}\n{rules}"

    def _head(self, suffix: str, kinds: list[str]) -> str:
        """The rule of what precedes a value of one of these types."""
        style, rule = self.style, f"{self.rule}_{suffix}"
        if isinstance(self.key, str):
            key = self.key
            heads = dict.fromkeys(quoted(style.before_value(key, kind)) for kind in kinds)
            return f"{rule}: {' | '.join(heads)}\n"
        ends = dict.fromkeys(
            quoted(style.before_value("", kind).removeprefix(style.before_key)) for kind in kinds
        )
        name = f"{quoted(style.before_key)} ({self.key.name(_ANY_KEY)}) ({' | '.join(ends)})"
        return f"{rule}: {rule.upper()}\n{rule.upper()}: {name}\n"


def _without_strings(node: Any, root: Node) -> Iterator[Node]:
    """The alternatives of a value that isn't a string."""
    for leaf in leaves(node, root):
        options = values.listed(leaf)
        if options is None:
            if types := values.types_of(leaf, root) - STRING:
                yield _typed(leaf, types)
        elif others := [option for option in options if not isinstance(option, str)]:
            yield {"enum": others}


def _typed(leaf: Node, types: frozenset[str]) -> Node:
    return {**leaf, "type": sorted(types)}


class XmlReader:
    """Reads parameters; strings come as they are written, other values when they are complete."""

    def __init__(self, style: XmlStyle, parameters: str) -> None:
        self._style = style
        self._schema = values.object_of(parameters)
        self._after_key = Layout(style.after_key)
        self._key_end = style.after_key.split("{name}")[0].split()[0]
        self._odd = odd_names(self._schema, lambda key: self._key_end not in key and key == key.strip())
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
            odd = find_name(text, start, self._odd, self._key_end)
            end = -1 if odd == "" else text.find(self._key_end, start + len(odd or ""))
            found = self._after_key.match(text, end) if end >= 0 else None
            if end < 0 or (found is not None and found.is_partial):
                return None, False
            if found is not None:
                self._begin_value(odd or text[start:end].strip(), found.name, out)
                return found.end, False
        elif style.before_key.startswith(rest) or (closing.startswith(rest) and rest != closing):
            return None, False
        out.append("}" if self._num_read else "{}")
        return begin + (len(closing) if rest.startswith(closing) else 0), True

    def _begin_value(self, key: str, mark: str, out: list[str]) -> None:
        out.append(("{" if self._num_read == 0 else ", ") + values.encoded(key) + ": ")
        self._num_read += 1
        self._is_first = True
        self._types = values.types_of(property_node(self._schema, key, self._schema), self._schema)
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
        end = self._find_end()
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

    def _find_end(self) -> int:
        """Where the value's end tag begins, -1 if it isn't there yet; one within a string of JSON is part of
        it."""
        text, close = self._pending, self._style.close
        end = text.find(close)
        begin = _JSON.match(text)
        if begin is not None and _BRACKETS[begin[1]] in (self._types or ()):
            while end >= 0 and _ESCAPE.sub("", text[:end]).count('"') % 2:
                end = text.find(close, end + 1)
        return end


def _mark_type(type: str) -> str:
    return "number" if type == "integer" else type
