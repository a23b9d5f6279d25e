"""The intersection of two schemas. Pure."""

from typing import Any, Final

from myna.prompts.call_formats import values

_LEAST: Final = frozenset({
    "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties",
})  # fmt: skip
_MOST: Final = frozenset({
    "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties",
})  # fmt: skip
_NAMED: Final = frozenset({"properties", "patternProperties"})
_OF_PARTS: Final = frozenset({"items", "additionalProperties"})
# Where both count, but one keyword can't say so.
_APART: Final = frozenset({"pattern", "format", "multipleOf", "anyOf", "oneOf"})

Node = dict[str, Any]


def intersection(first: Node, second: Node) -> Node:
    """A schema of the values that conform to both. What one keyword can't say is in its `allOf`; of keywords
    that aren't known here, those of the first count."""
    whole = {**second, **first}
    apart = [*conjuncts(first)[1:], *conjuncts(second)[1:]]
    for key in sorted(first.keys() & second.keys() - {"allOf"}):
        one, other = first[key], second[key]
        if values.encoded(one) == values.encoded(other):
            continue
        if key in _APART:
            apart.append({key: other})
        else:
            whole[key] = _joined(key, one, other)
    if apart:
        whole["allOf"] = apart
    if isinstance(properties := whole.get("properties"), dict):
        whole["properties"] = _limited(_limited(properties, first), second)
    listed, more = values.listed(first), values.listed(second)
    if listed is not None and more is not None:
        known = set(map(values.encoded, more))
        whole.pop("const", None)
        whole["enum"] = [option for option in listed if values.encoded(option) in known]
    return whole


def _limited(properties: Node, other: Node) -> Node:
    """The properties without those that the other schema doesn't list, where it forbids these, or as it
    limits them."""
    rest, listed = other.get("additionalProperties", True), other.get("properties")
    if rest in (True, {}) or other.get("patternProperties"):
        return properties
    known = listed if isinstance(listed, dict) else {}
    limited = {key: node if key in known else _part(node, rest) for key, node in properties.items()}
    return {key: node for key, node in limited.items() if node is not False or key in known}


def conjuncts(node: Node) -> list[Node]:
    """The schema and those that must hold besides."""
    parts = node.get("allOf")
    return [node, *(part for part in parts if isinstance(part, dict))] if isinstance(parts, list) else [node]


def _joined(key: str, one: Any, other: Any) -> Any:
    """What a keyword says together with its other value; the first value if that is unknown."""
    if key in _LEAST | _MOST and _is_number(one) and _is_number(other):
        return max(one, other) if key in _LEAST else min(one, other)
    if key in _NAMED and isinstance(one, dict) and isinstance(other, dict):
        shared = {name: _part(one[name], other[name]) for name in one.keys() & other.keys()}
        return {**other, **one, **shared}
    if key == "required" and isinstance(one, list) and isinstance(other, list):
        return [*one, *other]
    if key == "type":
        types = values.types_of({"type": one}, {}) & values.types_of({"type": other}, {})
        return sorted(types)
    return _part(one, other) if key in _OF_PARTS else one


def _part(one: Any, other: Any) -> Any:
    """The schema of a part of both."""
    if one is False or other is False:
        return False
    if isinstance(one, dict) and isinstance(other, dict) and one != other:
        return {"allOf": [one, other]}
    return one if isinstance(one, dict) else other


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
