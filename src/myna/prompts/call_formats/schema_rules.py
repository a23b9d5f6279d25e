"""Lark rules of a schema's values in a syntax that isn't JSON's."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from myna.prompts.call_formats import values
from myna.prompts.call_formats.json_style import json_rule
from myna.prompts.call_formats.layout import quoted
from myna.prompts.call_formats.sequence import sequence_rules
from myna.prompts.call_formats.xml_style import listed_properties

_JSON_TYPES: Final = ("integer", "number", "boolean", "null")
_COMPOSED: Final = ("allOf", "not", "if", "patternProperties")
_KEY: Final = "/[A-Za-z_][A-Za-z0-9_-]{0,63}/"


@dataclass(frozen=True, slots=True)
class ValueSyntax:
    """The texts around values, each of which may be empty. Numbers and the like are JSON; `write` is for
    values that a schema lists. `{key}` in `after_value` is the property's name. `is_sorted`: properties are
    in alphabetical order, otherwise in the schema's."""

    write: Callable[[object], str]
    object: tuple[str, str]
    array: tuple[str, str]
    string: tuple[str, str]
    after_scalar: str
    separator: str
    before_key: str
    after_key: str
    after_value: str
    item: tuple[str, str]
    is_sorted: bool = False


class SchemaRules:
    """Builds the rules; all their names begin with `name`. Nested strings may be any text, and references are
    rules of their own."""

    def __init__(self, name: str, root: dict[str, Any], syntax: ValueSyntax) -> None:
        self._name = name
        self._root = root
        self._syntax = syntax
        self._num_rules = 0
        self._of_reference: dict[str, str] = {}
        self.text = ""

    def add_object(self, rule: str, node: dict[str, Any], closing: str) -> None:
        """Add the rule of an object that ends with `closing`."""
        syntax = self._syntax
        properties, required, is_open = listed_properties(node)
        body = f"{rule}_in"
        self._add(f"{rule}: {quoted(syntax.object[0])} {body}")
        items = []
        for key in sorted(properties, key=str.lower) if syntax.is_sorted else properties:
            item = self._new()
            head = quoted(syntax.before_key + key + syntax.after_key)
            after = quoted(syntax.after_value.replace("{key}", key))
            self._add(f"{item}: {head} {self._value(properties[key])} {after}")
            items.append((item, key in required))
        more = None
        if is_open:
            self._any()
            more = self._rule(self._any_pair())
        self._add(sequence_rules(body, items, syntax.separator, closing, more).rstrip())

    def _value(self, node: Any) -> str:
        """The rule of a value."""
        if not isinstance(node, dict) or any(key in node for key in _COMPOSED):
            return self._any()
        if isinstance(reference := node.get("$ref"), str):
            return self._referred(reference)
        if "const" in node or isinstance(node.get("enum"), list):
            options = [node["const"]] if "const" in node else node["enum"]
            return self._rule(" | ".join(quoted(self._syntax.write(option)) for option in options))
        for key in ("anyOf", "oneOf"):
            if isinstance(options := node.get(key), list):
                return self._rule(" | ".join(map(self._value, options)))
        types = values.types_of(node, self._root)
        if types == values.ANY:
            return self._any()
        kinds = sorted(types - {"integer"} if "number" in types else types)
        return self._rule(" | ".join(self._typed(kind, node) for kind in kinds))

    def _typed(self, kind: str, node: dict[str, Any]) -> str:
        if kind in _JSON_TYPES:
            return self._rule(f"{self._rule(json_rule({**node, 'type': kind}))} {self._after_scalar}")
        if kind == "string":
            return self._string()
        if kind == "array":
            return self._rule(self._array_of(self._value(node.get("items", {}))))
        rule = self._new()
        self.add_object(rule, node, self._syntax.object[1])
        return rule

    def _array_of(self, item: str) -> str:
        syntax = self._syntax
        one = f"{quoted(syntax.item[0])} {item} {quoted(syntax.item[1])}"
        several = f"({one} ({quoted(syntax.separator)} {one})*)?"
        return f"{quoted(syntax.array[0])} {several} {quoted(syntax.array[1])}"

    def _referred(self, reference: str) -> str:
        if reference not in self._of_reference:
            rule = self._of_reference[reference] = self._new()
            self._add(f"{rule}: {self._value(values.resolved(reference, self._root))}")
        return self._of_reference[reference]

    def _string(self) -> str:
        begin, end = self._syntax.string
        rest = f"{self._name}_rest"
        mark = re.escape(end).replace("/", "\\/")
        return self._shared("string", f"{quoted(begin)} {rest}\n{rest}[lazy]: /(.|\\n)*{mark}/")

    def _any(self) -> str:
        rule, syntax = f"{self._name}_any", self._syntax
        if f"{rule}: " not in self.text:
            scalar = self._rule(json_rule({"type": ["number", "boolean", "null"]}))
            pair = self._any_pair()
            pairs = f"({pair} ({quoted(syntax.separator)} {pair})*)?"
            whole = f"{quoted(syntax.object[0])} {pairs} {quoted(syntax.object[1])}"
            ways = [f"{scalar} {self._after_scalar}", self._string(), self._array_of(rule), whole]
            self._add(f"{rule}: {' | '.join(ways)}")
        return rule

    def _any_pair(self) -> str:
        """A property that the schema doesn't list, with any value."""
        syntax = self._syntax
        after = " ".join(_KEY if part == "{key}" else quoted(part) for part in _parts(syntax.after_value))
        return f"{quoted(syntax.before_key)} {_KEY} {quoted(syntax.after_key)} {self._name}_any {after}"

    @property
    def _after_scalar(self) -> str:
        return quoted(self._syntax.after_scalar)

    def _shared(self, suffix: str, body: str) -> str:
        rule = f"{self._name}_{suffix}"
        if f"{rule}: " not in self.text:
            self._add(f"{rule}: {body}")
        return rule

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


def _parts(text: str) -> list[str]:
    """The text, with the place of the key as a part of its own."""
    return [part for part in re.split(r"(\{key\})", text) if part]
