"""What of a schema grammars can't enforce is found before one is compiled."""

import json
from typing import Any

import pytest
from llguidance import LLMatcher

from myna.prompts.enforceable_schema import Unenforced, enforceable, num_alternatives

TEXT = {"type": "string"}
OBJECT = {"type": "object", "properties": {"a": TEXT}}
ALTERNATIVES = [{"type": "string"}, {"type": "string", "maxLength": 3}]


def why_not(schema: dict[str, Any]) -> str:
    """Why a grammar that must enforce the schema completely refuses it."""
    text = json.dumps({"grammars": [{"json_schema": schema}]})
    is_refused, reasons = LLMatcher.validate_grammar_with_warnings(text)
    return reasons[0] if is_refused else ""


def is_refused(schema: dict[str, Any]) -> bool:
    return why_not(schema) != ""


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
        ({**OBJECT, "maxProperties": 9}, ["maxProperties"]),
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
    assert [fault.keyword for fault in enforceable(schema, why_not)[1]] == keywords


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "uniqueItems": False},
        {"type": "string", "format": "password"},
        {"type": "number", "format": "double"},
        {"type": "integer", "format": "int32"},
        *({"type": "string", "format": name} for name in ("date-time", "email", "uuid", "uri", "ipv6")),
        {**OBJECT, "required": ["a"], "minProperties": 1},
        {**OBJECT, "additionalProperties": False, "minProperties": 1},
        {**OBJECT, "properties": {"a": TEXT, "b": {}}, "additionalProperties": False, "maxProperties": 1},
        {**OBJECT, "additionalProperties": False, "maxProperties": 9},
        {"type": "object", "additionalProperties": TEXT, "minProperties": 2, "maxProperties": 3},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "string", "pattern": r"^\cJ[^]$", "description": "text", "x-order": 1},
        {"type": "object", "patternProperties": {"^a": {}, "^b": TEXT}, "additionalProperties": False},
        {"enum": [{"not": 1, "pattern": "(?=a)"}]},
        {"type": "object", "properties": {"not": TEXT, "format": TEXT}, "required": ["not", "format"]},
    ],
)
def test_what_a_grammar_enforces_is_not(schema: dict[str, Any]) -> None:
    simplified, unenforced = enforceable(schema, why_not)
    assert unenforced == []
    assert not is_refused(simplified)


@pytest.mark.parametrize("counts", [{"minProperties": 3}, {"minProperties": 2, "maxProperties": 1}])
def test_a_number_of_properties_that_none_has_is_left_for_the_compiler(counts: dict[str, int]) -> None:
    schema = {**OBJECT, "required": ["a"], "additionalProperties": False, **counts}
    left, unenforced = enforceable(schema, why_not)
    assert unenforced == []
    assert "Unsatisfiable" in why_not(left)


def test_alternatives_are_counted_without_visiting_each() -> None:
    def chain(key: str, length: int) -> dict[str, Any]:
        """Each of which refers to the next ten times."""
        defs = {f"d{i}": {key: [{"$ref": f"#/$defs/d{i + 1}"}] * 10} for i in range(length)}
        return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{length}": TEXT}}

    for key in ("anyOf", "oneOf", "allOf"):
        assert 100 <= num_alternatives(chain(key, 2)) < 1000
        assert num_alternatives(chain(key, 100)) > 10_000
    assert num_alternatives({"allOf": [{"anyOf": [TEXT] * 10}] * 5}) > 10_000
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, TEXT]}}}
    assert num_alternatives(loop) < 10_000


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
