"""Closing a schema: what it lists is all there is, and what follows it follows the original."""

from typing import Any

import pytest

from myna.prompts.closed_schema import closed

A: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}


def test_listed_properties_are_all_there_are_at_any_depth() -> None:
    shut = A | {"additionalProperties": False}
    assert closed(A) == shut
    assert closed({"type": "array", "items": A}) == {"type": "array", "items": shut}
    assert closed({"anyOf": [A, {"type": "null"}]}) == {"anyOf": [shut, {"type": "null"}]}
    assert closed({"$defs": {"x": A}, "$ref": "#/$defs/x"}) == {"$defs": {"x": shut}, "$ref": "#/$defs/x"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}},
        A | {"required": ["b"]},
        A | {"minProperties": 3},
        A | {"additionalProperties": True},
        A | {"additionalProperties": {"type": "integer"}},
        A | {"patternProperties": {"^x": {}}},
        A | {"anyOf": [{"required": ["a"]}, {"properties": {"b": {}}}]},
        {"allOf": [A, {"type": "object", "properties": {"b": {}}}]},
        {"enum": [{"properties": {"a": 1}}]},
        {"const": A},
        True,
    ],
)
def test_a_schema_that_says_otherwise_or_is_put_together_of_pieces_stays(schema: Any) -> None:
    assert closed(schema) == schema


def test_a_property_may_have_any_name() -> None:
    names = {"properties": {"type": "string"}, "allOf": {"type": "integer"}, "enum": A}
    assert closed({"type": "object", "properties": names}) == {
        "type": "object",
        "properties": names | {"enum": A | {"additionalProperties": False}},
        "additionalProperties": False,
    }
