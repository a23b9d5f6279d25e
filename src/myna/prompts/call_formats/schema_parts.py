"""What a schema says about a value, put together from references, `allOf` and alternatives. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from myna.core.errors import InvalidRequest
from myna.core.translatable import N_
from myna.prompts.call_formats import values
from myna.prompts.call_formats.json_style import json_rule, moved
from myna.prompts.call_formats.layout import escaped
from myna.prompts.call_formats.schema_merging import intersection
from myna.prompts.ecma_regex import UnsupportedPattern, translate_whole

_MAX_STEPS: Final = 8  # references and alternatives within one another
_MAX_ROOT_LEAVES: Final = 8
_MAX_LEAVES: Final = 2000
_CHOICES: Final = ("anyOf", "oneOf")
_ROOT: Final = "/$defs/root"
ITEM: Final = "item"
"""The name of elements that are items of an array."""

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Property:
    """A listed property."""

    key: str
    node: Any
    is_required: bool


@dataclass(frozen=True, slots=True)
class UnlistedProperties:
    """Properties that aren't listed: those whose names match one pattern and none of the others, or no
    pattern at all."""

    node: Any
    pattern: str | None
    other_patterns: tuple[str, ...]
    listed: tuple[str, ...]

    def name(self, any_name: str) -> str:
        """Their names as a Lark terminal; `any_name` is the regular expression of what can be read."""
        parts = [f"/{any_name}/"]
        if self.pattern is not None:
            parts.append(f"/{_whole(self.pattern)}/")
        parts += (f"~/{_whole(pattern)}/" for pattern in self.other_patterns)
        if self.listed:
            parts.append(f"~/({'|'.join(map(escaped, self.listed))})/")
        return " & ".join(parts)


def leaves(node: Any, root: Node) -> list[Node]:
    """The alternatives of a value, each without references, `anyOf` and `oneOf`: what conforms to one of them
    conforms to the schema. Of too many, only what they share counts."""
    whole = merged(node, root)
    found, waiting, num_seen = list[Node](), [(whole, _MAX_STEPS)], 0
    while waiting:
        part, steps = waiting.pop()
        key = next((key for key in _CHOICES if isinstance(part.get(key), list)), None)
        if key is None or steps == 0:
            found += [part] if values.types_of(part, root) else []
            continue
        num_seen += len(part[key])
        if num_seen > _MAX_LEAVES:
            found = []
            break
        base = {name: value for name, value in part.items() if name != key}
        options = [merged(option, root) for option in reversed(part[key])]
        waiting += [
            (merged(intersection(base, option), root) if base else option, steps - 1) for option in options
        ]
    return found or [{key: value for key, value in whole.items() if key not in _CHOICES}]


def object_leaves(schema: Node) -> list[Node]:
    """The alternatives of a call's arguments. Of too many only what they share counts."""
    found = leaves(schema, schema)
    if len(found) <= _MAX_ROOT_LEAVES:
        return found
    return [{key: value for key, value in merged(schema, schema).items() if key not in _CHOICES}]


def alternative_rules(name: str, schema: Node, rules_of: Callable[[str, Node], str]) -> str:
    """The rule `name` of a call's arguments: one of their alternatives. `rules_of` writes an alternative's
    rules, which begin with the one of the name it is given; "" if nothing conforms to it."""
    found = dict[str, str]()
    for leaf in object_leaves(schema):
        way = f"{name}_{len(found)}"
        if rules := rules_of(way, leaf):
            found[way] = rules
    if not found:
        raise no_object()
    return f"{name}: {' | '.join(found)}\n{''.join(found.values())}"


def no_object() -> InvalidRequest:
    return InvalidRequest(N_("Unsatisfiable schema: no object conforms to it."))


def object_limits(leaf: Node) -> tuple[int, int | None]:
    """The least and the largest number of an object's properties."""
    return values.bound(leaf, "minProperties") or 0, values.bound(leaf, "maxProperties")


def merged(node: Any, root: Node, steps: int = _MAX_STEPS) -> Node:
    """The schema with what its references and `allOf` say."""
    if not isinstance(node, dict) or steps == 0:
        return {}
    given = node.get("allOf")
    parts = given if isinstance(given, list) else []
    if isinstance(reference := node.get("$ref"), str):
        parts = [values.resolved(reference, root), *parts]
    if not parts:
        return node
    whole = {key: value for key, value in node.items() if key not in ("$ref", "allOf")}
    for part in parts:
        found = merged(part, root, steps - 1)
        whole = intersection(whole, found) if whole else found
    return whole


def properties_of(leaf: Node, root: Node) -> list[Property]:
    """The properties that an object lists or requires, in that order, but those that no value conforms to."""
    listed, names = values.mapping(leaf, "properties"), values.required_names(leaf)
    unlisted = [key for key in names if key not in listed]
    found = [Property(key, node, key in names) for key, node in listed.items()]
    found = [prop for prop in found if prop.is_required or values.types_of(prop.node, root)]
    return found + [Property(key, property_node(leaf, key, root), is_required=True) for key in unlisted]


def others_of(leaf: Node) -> Iterator[UnlistedProperties]:
    """The properties that an object may have besides these."""
    names = (*values.mapping(leaf, "properties"), *values.required_names(leaf))
    patterns = values.mapping(leaf, "patternProperties")
    for pattern, node in patterns.items():
        if node is not False:
            yield UnlistedProperties(
                node, pattern, tuple(other for other in patterns if other != pattern), names
            )
    rest = leaf.get("additionalProperties", True)
    if rest is not False:
        yield UnlistedProperties(rest, None, tuple(patterns), names)


def property_node(node: Any, key: str, root: Node) -> Any:
    """The schema of a property of any of the alternatives: those that list it, or else those that allow
    it."""
    objects = [leaf for leaf in leaves(node, root) if "object" in values.types_of(leaf, root)]
    found = [leaf["properties"][key] for leaf in objects if key in values.mapping(leaf, "properties")]
    for leaf in objects if not found else ():
        patterns = values.mapping(leaf, "patternProperties").items()
        matching = [part for pattern, part in patterns if _finds(pattern, key)]
        found += matching or [leaf.get("additionalProperties", True)]
    return _any_of(found)


def item_node(node: Any, index: int, root: Node) -> Any:
    """The schema of an item of any of the alternatives."""
    arrays = [leaf for leaf in leaves(node, root) if "array" in values.types_of(leaf, root)]
    return _any_of([_item(leaf, index) for leaf in arrays])


def element_node(node: Any, name: str, index: int, root: Node) -> Any:
    """The schema of an element of that name: of an item, if it may be one, or a property."""
    properties = property_node(node, name, root)
    if name != ITEM or "array" not in values.types_of(node, root):
        return properties
    items = item_node(node, index, root)
    is_listed = any(name in values.mapping(leaf, "properties") for leaf in leaves(node, root))
    return _any_of([items, properties]) if is_listed else items


def items_of(leaf: Node) -> tuple[list[Any], Any]:
    """The schemas of an array's first items, and that of any further one, False if there may be none."""
    rest = leaf.get("items", True)
    if isinstance(rest, list):  # as older drafts have it
        return rest, leaf.get("additionalItems", True)
    first = leaf.get("prefixItems")
    return (first if isinstance(first, list) else []), rest


def _standalone(node: Any, root: Node) -> Node:
    """A part of a schema as a whole one."""
    if not isinstance(node, dict):
        return {}
    if '"$ref"' not in values.encoded(node):
        return node
    return {**moved(node, _ROOT), "$defs": {"root": moved(root, _ROOT)}}


def odd_names(schema: Any, is_plain: Callable[[str], object]) -> list[str]:
    """The properties that the schema lists anywhere and that aren't plain, the longest first: a reader looks
    for them as they are."""
    found, waiting = set[str](), [schema]
    while waiting:
        node = waiting.pop()
        waiting += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        if isinstance(node, dict):
            found.update(key for key in values.mapping(node, "properties") if key and not is_plain(key))
    return sorted(found, key=len, reverse=True)


def find_name(text: str, at: int, names: Sequence[str], ending: str) -> str | None:
    """The first of the names that is there, followed by `ending`; "" if one may still come, None if none."""
    if not names:
        return None
    rest = text[at : at + len(names[0]) + len(ending)]
    found = next((name for name in names if rest.startswith(name + ending)), None)
    if found is None and any((name + ending).startswith(text[at:]) for name in names):
        return ""
    return found


def json_of(node: Any, root: Node) -> str:
    """JSON of a part of a schema, as the right side of a Lark rule."""
    return json_rule(_standalone(node, root))


def _item(leaf: Node, index: int) -> Any:
    first, rest = items_of(leaf)
    return first[index] if index < len(first) else rest


def _any_of(nodes: list[Any]) -> Any:
    nodes = [node for i, node in enumerate(nodes) if node is not False and node not in nodes[:i]]
    if not nodes or not all(isinstance(node, dict) for node in nodes):
        return {}
    return nodes[0] if len(nodes) == 1 else {"anyOf": nodes}


def _finds(pattern: str, key: str) -> bool:
    try:
        return re.search(pattern, key) is not None
    except re.error:
        return True


def _whole(pattern: str) -> str:
    try:
        return translate_whole(pattern)
    except UnsupportedPattern:  # `enforceable` has removed these
        return "(.|\\n)*"
