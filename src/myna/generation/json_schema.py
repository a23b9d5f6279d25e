"""Clients' JSON schemas: OpenAI's strict subset with its error texts, and conversion to constraints."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from myna.core.constraints import JsonSchema, Origin
from myna.prompts.closed_schema import MAX_NESTING, is_too_deep

MAX_LEVELS: Final = 10
MAX_PROPERTIES: Final = 5000
MAX_ENUM_VALUES: Final = 1000
_MAX_STEPS: Final = 64
_UNSUPPORTED: Final = (
    "allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "oneOf", "default",
)  # fmt: skip
_SHAPES: Final = ("type", "anyOf", "$ref", "enum", "const")

Schema = Mapping[str, Any]
Path = tuple[str, ...]


class SchemaError(Exception):
    """A violation of the subset at a path (None: the whole schema); `tail` ends OpenAI's message."""

    def __init__(self, path: Path | None, tail: str) -> None:
        super().__init__(tail)
        self.text = tail if path is None else f"In context={path!r}, {tail}"


def constraint_of(
    schema: Schema | None, *, is_strict: bool, name: str, origin: Origin, needs_object: bool = False
) -> JsonSchema:
    """The constraint that an answer follows the schema.

    Strict schemas must be in OpenAI's subset and are fully enforced; of others, what can't be enforced is
    left to the model. Raises `InvalidRequest` with that origin for a schema outside the subset or nested too
    deeply; whether an engine can enforce it is known when it is compiled.
    """
    schema = schema or {}
    try:
        if needs_object:
            _check_root(schema)
        if is_strict:
            check_strict(schema)
        if is_too_deep(schema):
            raise SchemaError(None, f"schema is nested more than {MAX_NESTING} levels deep.")
    except SchemaError as exc:
        raise origin.error(exc.text) from exc
    return JsonSchema(json.dumps(schema, ensure_ascii=False), is_strict, name, origin)


def origin_of(subject: str, param: str, code: str | None = None) -> Origin:
    """The origin of a schema, for error messages in OpenAI's words."""
    return Origin(f"Invalid schema for {subject}", param, code)


def check_strict(schema: Schema) -> None:
    """Raise `SchemaError` if the schema is not in OpenAI's strict subset."""
    _check_root(schema)
    num_properties = 0
    for path, node, levels in _nodes(schema):
        _check_node(path, node)
        if levels > MAX_LEVELS:
            raise SchemaError(path, f"{levels} levels of nesting exceeds limit of {MAX_LEVELS}.")
        num_properties += len(_mapping(node, "properties", path))
        if num_properties > MAX_PROPERTIES:
            raise SchemaError(path, f"{num_properties} properties exceeds limit of {MAX_PROPERTIES}.")


def _check_root(schema: Schema) -> None:
    if schema.get("type") != "object":
        kind = f"'type: \"{schema.get('type')}\"'"
        raise SchemaError(None, f"schema must be a JSON Schema of 'type: \"object\"', got {kind}.")


def _check_node(path: Path, node: Schema) -> None:
    for keyword in _UNSUPPORTED:
        if keyword in node:
            raise SchemaError(path, f"'{keyword}' is not permitted.")
    if "$ref" in node and len(node) > 1:
        raise SchemaError(
            path, f"$ref cannot have keywords {{{_listed(key for key in node if key != '$ref')}}}."
        )
    if not any(key in node for key in _SHAPES):
        raise SchemaError(path, "schema must have a 'type' key.")
    if len(node.get("enum", ())) > MAX_ENUM_VALUES:
        raise SchemaError(path, f"{len(node['enum'])} enum values exceeds limit of {MAX_ENUM_VALUES}.")
    if node.get("type") == "object" or "properties" in node:
        _check_object(path, node)


def _check_object(path: Path, node: Schema) -> None:
    if node.get("additionalProperties") is not False:
        raise SchemaError(path, "'additionalProperties' is required to be supplied and to be false.")
    names = _mapping(node, "properties", path)
    required = node.get("required", [])
    missing = [name for name in names if not isinstance(required, list) or name not in required]
    if missing:
        raise SchemaError(
            path,
            "'required' is required to be supplied and to be an array including every key in properties. "
            f"Missing '{missing[0]}'.",
        )


def _nodes(schema: Schema) -> Iterator[tuple[Path, Schema, int]]:
    """Every nested schema, outermost first, with its path and its nesting depth in objects and arrays."""
    waiting: list[tuple[Path, Any, int]] = [((), schema, 1)]
    while waiting:
        path, node, levels = waiting.pop()
        if not isinstance(node, dict) or len(path) > _MAX_STEPS:
            raise SchemaError(path[:_MAX_STEPS], "Please ensure it is a valid JSON Schema.")
        yield path, node, levels
        inside: list[tuple[Path, Any, int]] = []
        for keyword, deeper in (("properties", 1), ("$defs", 0), ("definitions", 0)):
            parts = _mapping(node, keyword, path)
            inside += [((*path, keyword, name), part, levels + deeper) for name, part in parts.items()]
        if "items" in node:
            inside.append(((*path, "items"), node["items"], levels + 1))
        options = node.get("anyOf", [])
        if not isinstance(options, list):
            raise SchemaError(path, "Please ensure it is a valid JSON Schema.")
        inside += [((*path, "anyOf", str(i)), part, levels) for i, part in enumerate(options)]
        waiting += reversed(inside)


def _mapping(node: Schema, keyword: str, path: Path) -> Schema:
    value = node.get(keyword, {})
    if not isinstance(value, dict):
        raise SchemaError(path, "Please ensure it is a valid JSON Schema.")
    return value


def _listed(names: Iterator[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
