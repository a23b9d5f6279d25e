"""What of a schema grammars can't enforce is found before one is compiled."""

import json
from typing import Any

import pytest
from llguidance import LLMatcher

from myna.prompts.enforceable_schema import Unenforced, enforceable

TEXT = {"type": "string"}
OBJECT = {"type": "object", "properties": {"a": TEXT}}
ALTERNATIVES = [{"type": "string"}, {"type": "string", "maxLength": 3}]


def is_refused(schema: dict[str, Any]) -> bool:
    """Whether a grammar that must enforce the schema completely refuses it."""
    text = json.dumps({"grammars": [{"json_schema": schema}]})
    return bool(LLMatcher.validate_grammar_with_warnings(text)[0])


@pytest.mark.parametrize(
    ("schema", "keywords"),
    [
        ({**OBJECT, "not": {"required": ["b"]}}, ["not"]),
        ({**OBJECT, "if": {}, "then": {}, "else": {}}, ["if"]),
        ({"type": "array", "uniqueItems": True}, ["uniqueItems"]),
        ({"type": "array", "contains": {}}, ["contains"]),
        ({**OBJECT, "propertyNames": TEXT}, ["propertyNames"]),
        ({**OBJECT, "dependencies": {"a": ["b"]}}, ["dependencies"]),
        ({**OBJECT, "dependentRequired": {"a": ["b"]}}, ["dependentRequired"]),
        ({**OBJECT, "dependentSchemas": {}}, ["dependentSchemas"]),
        ({**OBJECT, "unevaluatedProperties": False}, ["unevaluatedProperties"]),
        ({"type": "array", "unevaluatedItems": False}, ["unevaluatedItems"]),
        ({"$dynamicRef": "#a"}, ["$dynamicRef"]),
        ({"$recursiveRef": "#"}, ["$recursiveRef"]),
        ({**OBJECT, "minProperties": 1, "maxProperties": 2}, ["minProperties", "maxProperties"]),
        ({"oneOf": ALTERNATIVES}, ["oneOf"]),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, ["oneOf"]),
        ({"type": "string", "format": "uri-reference"}, ["format"]),
        ({"format": "int32"}, ["format"]),
        ({"type": ["string", "null"], "format": "regex"}, ["format"]),
        ({"type": "string", "pattern": "(?=a)"}, ["pattern"]),
        ({"type": "object", "patternProperties": {"(?=a)": {}}}, ["patternProperties"]),
    ],
)
def test_a_keyword_that_a_grammar_refuses_is_found(schema: dict[str, Any], keywords: list[str]) -> None:
    assert is_refused(schema)
    assert [fault.keyword for fault in enforceable(schema)[1]] == keywords


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "uniqueItems": False},
        {"type": "string", "format": "password"},
        {"type": "number", "format": "double"},
        {"type": "integer", "format": "int32"},
        *({"type": "string", "format": name} for name in ("date-time", "email", "uuid", "uri", "ipv6")),
        {**OBJECT, "required": ["a"], "minProperties": 1},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "string", "pattern": r"^\cJ[^]$", "description": "text", "x-order": 1},
        {"type": "object", "patternProperties": {"^a": {}, "^b": TEXT}, "additionalProperties": False},
        {"enum": [{"not": 1, "pattern": "(?=a)"}]},
        {"type": "object", "properties": {"not": TEXT, "format": TEXT}, "required": ["not", "format"]},
    ],
)
def test_what_a_grammar_enforces_is_not(schema: dict[str, Any]) -> None:
    simplified, unenforced = enforceable(schema)
    assert unenforced == []
    assert not is_refused(simplified)


def test_only_the_pattern_is_removed_and_its_place_is_named() -> None:
    schema = {"type": "array", "items": {"anyOf": [TEXT, {**TEXT, "pattern": r"\bx", "minLength": 2}]}}
    simplified, unenforced = enforceable(schema)
    assert simplified == {"type": "array", "items": {"anyOf": [TEXT, {**TEXT, "minLength": 2}]}}
    assert unenforced == [
        Unenforced(("items", "anyOf", "1"), "pattern", r"word boundaries (\b) are not supported")
    ]


def test_one_pattern_of_names_leaves_the_others_enforced() -> None:
    named = {"(?=a)": {}, r"^\d": {"const": 1}, "^[0-9]": {"type": "integer"}}
    simplified, _ = enforceable({"patternProperties": named, "additionalProperties": False})
    assert simplified == {
        "patternProperties": {"^[0-9]": {"allOf": [{"const": 1}, {"type": "integer"}]}},
        "additionalProperties": True,
    }
