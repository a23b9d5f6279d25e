"""Closes a JSON schema: objects that list properties allow no others."""

from typing import Any, Final

# With these, an object is described in several places of the schema.
_COMPOSING: Final = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "$ref", "patternProperties", "unevaluatedProperties"}
)


MAX_NESTING: Final = 120  # levels of JSON; llguidance's parser takes 127, some of which wrap the schema
DATA: Final = frozenset({"enum", "const", "default", "examples"})
MAPS: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})


def is_too_deep(schema: Any) -> bool:
    """Whether there are more than `MAX_NESTING` levels of arrays and objects; if so, don't pass it to other
    functions of this module."""
    level = [schema]
    for _ in range(MAX_NESTING):
        inside: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                inside += node.values()
            elif isinstance(node, list):
                inside += node
        level = [node for node in inside if isinstance(node, dict | list)]
        if not level:
            return False
    return True


def closed(schema: Any) -> Any:
    """The schema with unlisted properties forbidden, unless it says something about them.

    What conforms to the result conforms to the original. Otherwise small models invent properties.
    """
    return schema if _composes(schema) else _closed(schema)


def _composes(schema: Any) -> bool:
    """Whether objects are described in several parts, none of which may forbid properties that another
    lists."""
    if isinstance(schema, list):
        return any(map(_composes, schema))
    if not isinstance(schema, dict):
        return False
    is_piecemeal = "allOf" in schema or ("properties" in schema and not _COMPOSING.isdisjoint(schema))
    return is_piecemeal or any(map(_composes, _inside(schema).values()))


def _inside(schema: dict[str, Any]) -> dict[str, Any]:
    """The subschemas; named ones, such as properties, as a list."""
    parts = {key: value for key, value in schema.items() if key not in DATA}
    return {
        key: list(value.values()) if key in MAPS and isinstance(value, dict) else value
        for key, value in parts.items()
    }


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in MAPS and isinstance(value, dict):
            out[key] = {name: _closed(part) for name, part in value.items()}
        else:
            out[key] = value if key in DATA else _closed(value)
    if _lists_all(schema):
        out.setdefault("additionalProperties", False)
    return out


def _lists_all(schema: dict[str, Any]) -> bool:
    """Whether the object lists its properties and requires no others."""
    names, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(names, dict) or not isinstance(required, list) or "minProperties" in schema:
        return False
    return bool(names) and all(name in names for name in required)
