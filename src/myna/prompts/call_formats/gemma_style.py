"""Arguments as Gemma 4 writes them: like JSON, with bare keys and strings between marks of their own."""

import json
import re
from typing import Any, Final

from myna.core.conversation import ToolSpec
from myna.core.overlap import overlap
from myna.prompts.call_formats import values
from myna.prompts.call_formats.base import GrammarTool
from myna.prompts.call_formats.json_style import json_rule, parameters_of
from myna.prompts.call_formats.layout import quoted
from myna.prompts.call_formats.sequence import sequence_rules
from myna.prompts.call_formats.xml_style import listed_properties

QUOTE: Final = '<|"|>'
_WORD: Final = re.compile(r"[^\s,:{}\[\]<\"]+")
_STRUCTURE: Final = {"{": "{", "[": "[", "}": "}", "]": "]", ",": ", ", ":": ": "}
_JSON_TYPES: Final = ("integer", "number", "boolean", "null")
_COMPOSED: Final = ("allOf", "not", "if", "patternProperties")


class GemmaStyle:
    """An `ArgumentStyle`. Keys are in alphabetical order, as the family's template writes them."""

    openings = ("{",)
    literals = (QUOTE,)
    raw_head = "{input:" + QUOTE

    def write(self, arguments: str) -> str:
        return _written(values.object_of(arguments))

    def rules(self, name: str, tool: GrammarTool) -> str:
        schema = parameters_of(tool)
        rules = _Rules(name, schema)
        rules.object(name, schema)
        return rules.text

    def reader(self, tool: ToolSpec) -> "GemmaReader":
        return GemmaReader()


class GemmaReader:
    """Turns the text into JSON as it comes."""

    def __init__(self) -> None:
        self._pending = ""
        self._depth = 0
        self._quote = ""  # what ends the string that is being read

    def feed(self, text: str) -> tuple[str, str | None]:
        self._pending += text
        out: list[str] = []
        while self._pending:
            num_read = self._string(out) if self._quote else self._outside(out)
            if num_read is None:
                break
            self._pending = self._pending[num_read:]
            if self._depth == 0:
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
        if text.startswith(QUOTE):
            out.append('"')
            self._quote = QUOTE
            return len(QUOTE)
        if QUOTE.startswith(text):
            return None
        if text[0] in _STRUCTURE:
            self._depth += (text[0] in "{[") - (text[0] in "}]")
            out.append(_STRUCTURE[text[0]])
            return 1
        if text[0] == '"':
            out.append('"')
            self._quote = '"'
            return 1
        if (word := _WORD.match(text)) is None:
            return 1  # white space
        if word.end() == len(text):
            return None
        is_key = text[word.end() :].lstrip().startswith(":")
        out.append(values.encoded(word[0]) if is_key else values.to_json(word[0], values.ANY))
        return word.end()


class _Rules:
    """Builds the Lark rules of a schema's values; all names begin with `name`."""

    def __init__(self, name: str, root: dict[str, Any]) -> None:
        self._name = name
        self._root = root
        self._num_rules = 0
        self._of_reference: dict[str, str] = {}
        self.text = ""

    def object(self, rule: str, node: dict[str, Any]) -> None:
        """Add the rule of an object."""
        properties, required, is_open = listed_properties(node)
        body = f"{rule}_in"
        self._add(f'{rule}: "{{" {body}')
        items = []
        for key in sorted(properties, key=str.lower):
            item = self._new()
            self._add(f"{item}: {quoted(key + ':')} {self.value(properties[key])}")
            items.append((item, key in required))
        more = None
        if is_open:
            more = self._new()
            self._add(f'{more}: /[A-Za-z_][A-Za-z0-9_]{{0,63}}/ ":" {self._any()}')
        self._add(sequence_rules(body, items, ",", "}", more).rstrip())

    def value(self, node: Any) -> str:
        """The rule of a value."""
        if not isinstance(node, dict) or any(key in node for key in _COMPOSED):
            return self._any()
        if isinstance(reference := node.get("$ref"), str):
            return self._referred(reference)
        if "const" in node or isinstance(node.get("enum"), list):
            options = [node["const"]] if "const" in node else node["enum"]
            return self._rule(" | ".join(quoted(_written(option)) for option in options))
        for key in ("anyOf", "oneOf"):
            if isinstance(options := node.get(key), list):
                return self._rule(" | ".join(map(self.value, options)))
        types = values.types_of(node, self._root)
        if types == values.ANY:
            return self._any()
        kinds = sorted(types - {"integer"} if "number" in types else types)
        return self._rule(" | ".join(self._typed(kind, node) for kind in kinds))

    def _typed(self, kind: str, node: dict[str, Any]) -> str:
        if kind in _JSON_TYPES:
            return self._rule(json_rule({**node, "type": kind}))
        if kind == "string":
            return self._string()
        if kind == "array":
            item = self.value(node.get("items", {}))
            return self._rule(f'"[" ({item} ("," {item})*)? "]"')
        rule = self._new()
        self.object(rule, node)
        return rule

    def _referred(self, reference: str) -> str:
        if reference not in self._of_reference:
            rule = self._of_reference[reference] = self._new()
            self._add(f"{rule}: {self.value(values.resolved(reference, self._root))}")
        return self._of_reference[reference]

    def _string(self) -> str:
        mark = re.escape(QUOTE)
        return self._shared(
            "string", f"{quoted(QUOTE)} {self._name}_rest\n{self._name}_rest[lazy]: /(.|\\n)*{mark}/"
        )

    def _any(self) -> str:
        scalar = self._shared("scalar", json_rule({"type": ["number", "boolean", "null"]}))
        rule, string, key = f"{self._name}_any", self._string(), "/[A-Za-z_][A-Za-z0-9_]{0,63}/"
        pair = f'{key} ":" {rule}'
        return self._shared(
            "any",
            f'{scalar} | {string} | "[" ({rule} ("," {rule})*)? "]" | "{{" ({pair} ("," {pair})*)? "}}"',
        )

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
