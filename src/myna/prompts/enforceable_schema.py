"""Turns a client's JSON schema into one that grammars can enforce, and lists what they can't. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from myna.prompts.call_formats.values import mapping, required_names, resolved
from myna.prompts.closed_schema import DATA, MAPS
from myna.prompts.ecma_regex import UnsupportedPattern, translate

MAX_SCHEMA_CHARS: Final = 1 << 20
"""Longer schemas are rejected: Python parses them, comments included."""

_PROPERTIES: Final = ("properties", "patternProperties")
_COUNTS: Final = ("minProperties", "maxProperties")
_UNSATISFIABLE: Final = "Unsatisfiable"  # is in the compiler's error about a schema that nothing conforms to
# Documentation, of which some clients' tool definitions hold megabytes.
_FOR_READERS: Final = frozenset({"description", "examples", "$comment"})
# What llguidance ignores if it may, and otherwise rejects.
_IGNORED: Final = frozenset({
    "not", "if", "uniqueItems", "contains", "propertyNames", "dependencies", "dependentRequired",
    "dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef",
})  # fmt: skip
_FORMATS: Final = frozenset({
    "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "unknown",
})  # fmt: skip
# Formats that restrict no text; OpenAPI has them for programs that generate code.
_FORMATS_FOR_READERS: Final = frozenset({"password", "binary", "float", "double"})

_MAX_STEPS: Final = 9  # as many as any reader of schemas takes
_MANY: Final = 1_000_000
_BRANCHES: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf"})

Path = tuple[str, ...]
SchemaCheck = Callable[[dict[str, Any]], str]
"""Returns why a schema can't be enforced; empty if it can."""


@dataclass(frozen=True, slots=True)
class Unenforced:
    """A keyword that can't be enforced, the path of its schema, and the reason."""

    path: Path
    keyword: str
    reason: str


def _accepts_all(_: dict[str, Any]) -> str:
    return ""


def enforceable(schema: Any, check: SchemaCheck = _accepts_all) -> tuple[Any, list[Unenforced]]:
    """The schema as grammars need it, and what of it they can't enforce.

    Regular expressions are translated, and keywords for readers are removed. A pattern that can't be enforced
    is removed, so that any string is allowed in its place; among `patternProperties` this allows any name, so
    `additionalProperties` no longer applies. `check` is asked about what only the grammar's compiler knows.
    """
    rebuilding = _Rebuilding(check)
    return rebuilding.rebuilt(schema, ()), rebuilding.unenforced


def num_properties(schema: Any) -> int:
    """The total number of properties of all objects in the schema, by name or by pattern."""
    return sum(len(mapping(node, key)) for node in _nodes(schema) for key in _PROPERTIES)


def max_patterns(schema: Any) -> int:
    """The largest number of `patternProperties` of any object in the schema."""
    return max((len(mapping(node, "patternProperties")) for node in _nodes(schema)), default=0)


def max_optional(schema: Any) -> int:
    """The largest number of optional properties of any object in the schema."""
    return max((_num_optional(node) for node in _nodes(schema)), default=0)


def num_alternatives(schema: Any) -> int:
    """The largest number of steps to all alternatives of any value in the schema: through references,
    `allOf`, `anyOf` and `oneOf`. Not exact beyond a million."""
    known = dict[tuple[int, int], tuple[int, int]]()

    def walk(node: Any, depth: int) -> tuple[int, int]:
        """The number of schemas that a value's schema consists of, and that of its alternatives."""
        if not isinstance(node, dict) or depth == 0:
            return 1, 1
        key = (id(node), depth)
        if key not in known:
            parts = node.get("allOf")
            all_of = [walk(part, depth - 1) for part in parts] if isinstance(parts, list) else []
            if isinstance(reference := node.get("$ref"), str):
                all_of.append(walk(resolved(reference, schema), depth - 1))
            size, ways = 1 + sum(one for one, _ in all_of), prod(ways for _, ways in all_of)
            for name in ("anyOf", "oneOf"):
                if isinstance(options := node.get(name), list):
                    found = [walk(option, depth - 1) for option in options]
                    size, ways = size + sum(one for one, _ in found), ways * sum(way for _, way in found)
            known[key] = min(size, _MANY), min(ways, _MANY)
        return known[key]

    branching = (node for node in _nodes(schema) if not _BRANCHES.isdisjoint(node))
    return max((max(walk(node, _MAX_STEPS)) for node in branching), default=0)


def _num_optional(node: dict[str, Any]) -> int:
    return len(mapping(node, "properties").keys() - required_names(node))


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and every nested one."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        if not isinstance(node, dict):
            continue
        yield node
        for key, value in node.items():
            if key in MAPS and isinstance(value, dict):
                waiting += value.values()
            elif key not in DATA:
                waiting.append(value)


class _Rebuilding:
    """One pass over a schema, which collects what can't be enforced."""

    def __init__(self, check: SchemaCheck) -> None:
        self._check = check
        self.unenforced: list[Unenforced] = []

    def rebuilt(self, schema: Any, path: Path) -> Any:
        if isinstance(schema, list):
            return [self.rebuilt(part, (*path, str(i))) for i, part in enumerate(schema)]
        if not isinstance(schema, dict):
            return schema
        out: dict[str, Any] = {}
        for key, value in schema.items():
            if key in MAPS and isinstance(value, dict):
                out[key] = {name: self.rebuilt(part, (*path, key, name)) for name, part in value.items()}
            elif key in DATA:
                out[key] = value
            elif key not in _FOR_READERS:
                out[key] = self.rebuilt(value, (*path, key))
        self._simplify(out, path)
        return out

    def _simplify(self, schema: dict[str, Any], path: Path) -> None:
        if isinstance(pattern := schema.get("pattern"), str):
            self._translate_pattern(schema, pattern, path)
        if isinstance(named := schema.get("patternProperties"), dict):
            self._translate_names(schema, named, path)
        if isinstance(name := schema.get("format"), str) and name not in _FORMATS:
            del schema["format"]
            if name not in _FORMATS_FOR_READERS and _may_be_text(schema):
                self._report(path, "format", f"'{name}' is not a format that grammars know")
        if schema.get("uniqueItems") is False:
            del schema["uniqueItems"]
        for keyword in [keyword for keyword in schema if keyword in _IGNORED]:
            self._report(path, keyword, "grammars can't express it")
        if any(keyword in schema for keyword in _COUNTS):
            self._check_counts(schema, path)
        if "oneOf" in schema and not _has_distinct_types(schema["oneOf"]):
            self._report(path, "oneOf", "it is treated as 'anyOf' where its alternatives overlap")

    def _check_counts(self, schema: dict[str, Any], path: Path) -> None:
        """Remove limits of the number of properties that hold anyway, or that can't be enforced."""
        least, most = map(schema.get, _COUNTS)
        names, required = mapping(schema, "properties"), required_names(schema)
        is_closed = schema.get("additionalProperties") is False and not mapping(schema, "patternProperties")
        if isinstance(least, int) and 0 <= least <= len(required):
            del schema["minProperties"]
        if isinstance(most, int) and is_closed and most >= len(names.keys() | required):
            del schema["maxProperties"]
        shape: dict[str, Any] = {key: schema[key] for key in _COUNTS if key in schema}
        for key in _PROPERTIES:
            shape[key] = {name: {} for name in mapping(schema, key)}
        if schema.get("additionalProperties") is False:
            shape["additionalProperties"] = False
        reason = self._check({**shape, "type": "object", "required": sorted(required)})
        if reason and _UNSATISFIABLE not in reason:
            for keyword in _COUNTS:
                if schema.pop(keyword, None) is not None:
                    self._report(path, keyword, "it is supported only where all of 'properties' are required")

    def _translate_pattern(self, schema: dict[str, Any], pattern: str, path: Path) -> None:
        translation = self._translation(pattern, path, "pattern")
        if translation is None:
            del schema["pattern"]
        else:
            schema["pattern"] = translation

    def _translate_names(self, schema: dict[str, Any], named: dict[str, Any], path: Path) -> None:
        translated: dict[str, Any] = {}
        is_complete = True
        for pattern, part in named.items():
            translation = self._translation(pattern, path, "patternProperties")
            if translation is None:
                is_complete = False
            else:
                known = translated.get(translation)
                translated[translation] = part if known is None else {"allOf": [known, part]}
        names: dict[str, Any] = {"patternProperties": {name: {} for name in translated}}
        if len(translated) > 1 and (reason := self._check(names)):
            self._report(path, "patternProperties", reason)
            translated, is_complete = {}, False
        if not is_complete:
            schema["additionalProperties"] = True
        schema["patternProperties"] = translated

    def _translation(self, pattern: str, path: Path, keyword: str) -> str | None:
        try:
            translation = translate(pattern)
            reason = self._check({"type": "string", "pattern": translation})
        except UnsupportedPattern as exc:
            reason = str(exc)
        if not reason:
            return translation
        self._report(path, keyword, reason)
        return None

    def _report(self, path: Path, keyword: str, reason: str) -> None:
        self.unenforced.append(Unenforced(path, keyword, reason))


def _may_be_text(schema: dict[str, Any]) -> bool:
    kinds = schema.get("type", "string")
    return kinds == "string" or (isinstance(kinds, list) and "string" in kinds)


def _has_distinct_types(options: Any) -> bool:
    if not isinstance(options, list):
        return False
    kinds = [option.get("type") for option in options if isinstance(option, dict)]
    names = {kind for kind in kinds if isinstance(kind, str)}
    return len(names) == len(options) and not {"integer", "number"} <= names
