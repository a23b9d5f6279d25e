"""Removes from a JSON schema what grammars can't enforce, such as some regular expressions. Pure."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from myna.prompts.closed_schema import DATA, MAPS

_PROPERTIES: Final = ("properties", "patternProperties")

Path = tuple[str, ...]
PatternCheck = Callable[[str], str]
"""Returns why a regular expression can't be enforced; empty if it can."""

# Documentation, of which some clients' tool definitions hold megabytes.
_FOR_READERS: Final = frozenset({"description", "examples", "$comment"})


def without_comments(schema: Any) -> Any:
    """The schema without keywords that mean nothing to a grammar."""
    return _rebuilt(schema, None)


def enforceable(schema: Any, check: PatternCheck) -> Any:
    """The same, also without regular expressions that can't be enforced: any string is then allowed in their
    place. A single key of `patternProperties` can't be removed, so the whole keyword is, and with it
    `additionalProperties`."""
    return _rebuilt(schema, check)


def patterns(schema: Any) -> Iterator[tuple[Path, str]]:
    """Every regular expression with the path of its schema."""
    for path, node in _nodes(schema):
        if isinstance(pattern := node.get("pattern"), str):
            yield path, pattern
        named = node.get("patternProperties")
        yield from ((path, pattern) for pattern in (named if isinstance(named, dict) else ()))


def num_properties(schema: Any) -> int:
    """The total number of properties of all objects in the schema, by name or by pattern."""
    return sum(len(_mapping(node, key)) for _, node in _nodes(schema) for key in _PROPERTIES)


def max_patterns(schema: Any) -> int:
    """The largest number of `patternProperties` of any object in the schema."""
    return max((len(_mapping(node, "patternProperties")) for _, node in _nodes(schema)), default=0)


def max_optional(schema: Any) -> int:
    """The largest number of optional properties of any object in the schema."""
    return max((_num_optional(node) for _, node in _nodes(schema)), default=0)


def _num_optional(node: dict[str, Any]) -> int:
    required = node.get("required")
    names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    return len(_mapping(node, "properties").keys() - names)


def _mapping(node: dict[str, Any], key: str) -> dict[str, Any]:
    value = node.get(key)
    return value if isinstance(value, dict) else {}


def _nodes(schema: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The schema and every nested one, with its path."""
    waiting: list[tuple[Path, Any]] = [((), schema)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, list):
            waiting += (((*path, str(i)), part) for i, part in enumerate(node))
        if not isinstance(node, dict):
            continue
        yield path, node
        for key, value in node.items():
            if key in MAPS and isinstance(value, dict):
                waiting += (((*path, key, name), part) for name, part in value.items())
            elif key not in DATA:
                waiting.append(((*path, key), value))


def _rebuilt(schema: Any, check: PatternCheck | None) -> Any:
    if isinstance(schema, list):
        return [_rebuilt(part, check) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in MAPS and isinstance(value, dict):
            out[key] = {name: _rebuilt(part, check) for name, part in value.items()}
        elif key in DATA:
            out[key] = value
        elif key not in _FOR_READERS:
            out[key] = _rebuilt(value, check)
    return out if check is None else _without_bad_patterns(out, check)


def _without_bad_patterns(schema: dict[str, Any], check: PatternCheck) -> dict[str, Any]:
    pattern, named = schema.get("pattern"), schema.get("patternProperties")
    if isinstance(pattern, str) and check(pattern):
        del schema["pattern"]
    if isinstance(named, dict) and any(map(check, named)):
        del schema["patternProperties"]
        schema.pop("additionalProperties", None)
    return schema
