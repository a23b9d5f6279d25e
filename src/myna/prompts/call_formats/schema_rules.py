"""Lark rules of a schema's values in a syntax that isn't JSON's."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from myna.prompts.call_formats import values
from myna.prompts.call_formats.json_style import json_rule
from myna.prompts.call_formats.layout import quoted
from myna.prompts.call_formats.raw_text import LIMITS, Unquoted, string_parts, text_terminal
from myna.prompts.call_formats.schema_merging import conjuncts
from myna.prompts.call_formats.schema_parts import (
    ITEM,
    Node,
    UnlistedProperties,
    element_node,
    items_of,
    leaves,
    no_object,
    object_leaves,
    object_limits,
    others_of,
    properties_of,
)
from myna.prompts.call_formats.sequence import repeated, sequence_rules

_KEY: Final = "[A-Za-z_][A-Za-z0-9_\\-]{0,63}"
_MAX_DEPTH: Final = 130  # of values; requests' schemas aren't nested that deeply


@dataclass(frozen=True, slots=True)
class ValueSyntax:
    """The texts around values, each of which may be empty. Numbers and the like are JSON; `write` is for
    values that a schema lists. `{key}` in `after_value` is the property's name. `stop` is in no string.
    `is_plain`: strings have no quotes, so that a reader knows the type of a text from the schema.
    `is_sorted`: properties are in alphabetical order, otherwise in the schema's."""

    write: Callable[[object], str]
    object: tuple[str, str]
    array: tuple[str, str]
    string: tuple[str, str]
    stop: str
    after_scalar: str
    separator: str
    before_key: str
    after_key: str
    after_value: str
    item: tuple[str, str]
    is_plain: bool = False
    is_sorted: bool = False


class SchemaRules:
    """Builds the rules; all their names begin with `name`. Equal values share a rule, so that schemas may
    refer to themselves.

    Each value has a schema `node`, and one by which a reader knows its type, `seen`: the node itself, or all
    alternatives in its place."""

    def __init__(self, name: str, root: Node, syntax: ValueSyntax) -> None:
        self._name = name
        self._root = root
        self._syntax = syntax
        self._num_rules = 0
        self._depth = 0
        self._known: dict[str, str] = {}
        self.text = ""

    def add_arguments(self, closing: str) -> None:
        """Add the rule of the whole object, which ends with `closing`."""
        ways = [self._object(leaf, self._root, closing) for leaf in object_leaves(self._root)]
        ways = [way for way in ways if way]
        if not ways:
            raise no_object()
        self._add(f"{self._name}: {' | '.join(ways)}")

    def _value(self, node: Any, seen: Any) -> str:
        """The rule of a value."""
        if self._depth > _MAX_DEPTH:
            node, seen = {}, {}
        key = values.encoded([node, seen] if self._syntax.is_plain and seen != node else node)
        if key not in self._known:
            rule = self._known[key] = self._new()
            self._depth += 1
            ways = self._plain(node, seen) if self._syntax.is_plain else self._quoted(node)
            self._depth -= 1
            self._add(f"{rule}: {' | '.join(ways)}")
        return self._known[key]

    def _plain(self, node: Any, seen: Any) -> list[str]:
        found, ways = Unquoted(node, seen, self._root), list[str]()
        if found.parts:
            ways.append(self._text(found.parts))
        # Nothing between the tags is a string, if there may be one.
        may_be_empty = "string" not in values.types_of(seen, self._root)
        for leaf, types in found.rest:
            for kind in sorted(types - {"integer"} if "number" in types else types):
                ways += self._typed(kind, leaf, seen, may_be_empty)
        return ways or [self._text(["/()/"])]

    def _quoted(self, node: Any) -> list[str]:
        ways = [quoted(self._syntax.write(option)) for option in self._options(node)]
        if parts := string_parts(node, self._root, with_listed=False):
            ways.append(f"{quoted(self._syntax.string[0])} {self._text(parts)}")
        for leaf in leaves(node, self._root):
            if values.listed(leaf) is None:
                types = values.types_of(leaf, self._root) - {"string"}
                for kind in sorted(types - {"integer"} if "number" in types else types):
                    ways += self._typed(kind, leaf, leaf, may_be_empty=True)
        return ways or [quoted(self._syntax.write(None))]

    def _options(self, node: Any) -> list[Any]:
        """The listed values that can be read."""
        found = [option for leaf in leaves(node, self._root) for option in values.listed(leaf) or ()]
        return [option for option in found if self._syntax.stop not in values.encoded(option)]

    def _typed(self, kind: str, leaf: Node, seen: Any, may_be_empty: bool) -> list[str]:
        """The ways to write a value of that type, which isn't a string."""
        if kind == "object":
            found = self._object(leaf, seen, self._syntax.object[1], may_be_empty=may_be_empty)
            return [found] if found else []
        if kind == "array":
            return self._array(leaf, seen, may_be_empty)
        schema = {"type": kind} | {key: leaf[key] for key in LIMITS if key in leaf}
        if more := [part for part in conjuncts(leaf)[1:] if "multipleOf" in part]:
            schema["allOf"] = more
        return [f"{self._rule(json_rule(schema))} {quoted(self._syntax.after_scalar)}"]

    def _text(self, parts: list[str]) -> str:
        name, line = text_terminal(parts, stop=self._syntax.stop, closing=self._syntax.string[1])
        self._add(line.rstrip())
        return name

    def _object(self, leaf: Node, seen: Any, closing: str, *, may_be_empty: bool = True) -> str:
        """The rule of an object that ends with `closing`; "" if it can't be written."""
        syntax, root = self._syntax, self._root
        properties = properties_of(leaf, root)
        if syntax.is_sorted:
            properties = sorted(properties, key=lambda prop: prop.key.lower())
        others = list(others_of(leaf))
        items = []
        for prop in properties:
            value = self._value(prop.node, element_node(seen, prop.key, 0, root))
            head = quoted(syntax.before_key + prop.key + syntax.after_key)
            after = quoted(syntax.after_value.replace("{key}", prop.key))
            items.append((self._rule(f"{head} {value} {after}"), prop.is_required))
        more = self._rule(" | ".join(map(self._other, others))) if others else None
        rule = self._new()
        least, most = object_limits(leaf)
        least = max(least, 0 if may_be_empty else 1)
        rules = sequence_rules(f"{rule}_in", items, syntax.separator, closing, more, least=least, most=most)
        if not rules:
            return ""
        self._add(f"{rule}: {quoted(syntax.object[0])} {rule}_in\n{rules.rstrip()}")
        return rule

    def _other(self, others: UnlistedProperties) -> str:
        """A property that the schema doesn't list."""
        syntax, name = self._syntax, self._new().upper()
        self._add(f"{name}: {quoted(syntax.before_key)} ({others.name(_KEY)}) {quoted(syntax.after_key)}")
        parts = [part for part in re.split(r"(\{key\})", syntax.after_value) if part]
        after = " ".join(f"/{_KEY}/" if part == "{key}" else quoted(part) for part in parts)
        return f"{name} {self._value(others.node, others.node)} {after}"

    def _array(self, leaf: Node, seen: Any, may_be_empty: bool) -> list[str]:
        """An array, as a part of a rule; empty if it can't be written."""
        syntax = self._syntax
        first, rest = items_of(leaf)
        least, most = values.bound(leaf, "minItems") or 0, values.bound(leaf, "maxItems")
        least = max(least, 0 if may_be_empty else 1)
        if rest is False:
            most = len(first) if most is None else min(most, len(first))
        first = first[:most]
        if most is not None and least > most:
            return []
        body = ""
        if most is None or most > len(first):
            item = self._item(rest, element_node(seen, ITEM, len(first), self._root))
            fewest, more = max(least - len(first), 0), None if most is None else most - len(first)
            body = repeated(item, syntax.separator, fewest, more, is_first=not first)
        for i in reversed(range(len(first))):
            item = self._item(first[i], element_node(seen, ITEM, i, self._root))
            whole = f"{quoted(syntax.separator) if i else ''} {item} {body}"
            body = whole if i < least else f"({whole})?"
        return [f"{quoted(syntax.array[0])} {body} {quoted(syntax.array[1])}"]

    def _item(self, node: Any, seen: Any) -> str:
        before, after = map(quoted, self._syntax.item)
        return f"{before} {self._value(node, seen)} {after}"

    def _rule(self, body: str) -> str:
        rule = self._new()
        self._add(f"{rule}: {body}")
        return rule

    def _add(self, rule: str) -> None:
        """Add a rule; its text may have added others before."""
        self.text += rule + "\n"

    def _new(self) -> str:
        self._num_rules += 1
        return f"{self._name}_{self._num_rules}"
