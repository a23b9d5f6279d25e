"""What isn't enforced is named in a header: which keyword, where, and why."""

import json
from typing import Any

import pytest

from myna.core.constraints import AnyText, CallableTool, Constraint, JsonObject, JsonSchema, Origin, ToolCalls
from myna.generation.hints import unenforced_hint

LOOSE = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)"}}}
REASON = "look-ahead and look-behind are not supported"


def schema(value: Any, *, is_strict: bool = False) -> JsonSchema:
    return JsonSchema(json.dumps(value), is_strict, "x", Origin("", "response_format"))


def tool(i: int, value: Any, *, is_strict: bool = False) -> CallableTool:
    return CallableTool(f"f{i}", json.dumps(value), is_strict, origin=Origin("", f"tools[{i}]"))


def test_it_names_the_keyword_its_place_and_the_reason() -> None:
    expected = f"Not enforced: 'pattern' at response_format.properties.a ({REASON})"
    assert unenforced_hint(schema(LOOSE)) == expected


def test_it_names_the_tools_that_may_be_called_and_the_answer() -> None:
    calls = ToolCalls("hermes", (tool(0, {}), tool(1, LOOSE), tool(2, LOOSE, is_strict=True)))
    assert unenforced_hint(calls) == f"Not enforced: 'pattern' at tools[1].properties.a ({REASON})"
    beside = ToolCalls("hermes", (CallableTool("g"),), answer=schema({"not": {}}))
    assert unenforced_hint(beside) == "Not enforced: 'not' at response_format (grammars can't express it)"


def test_a_long_list_is_cut() -> None:
    many = {"properties": {"a" * 500 + str(i): {"pattern": "(?=x)"} for i in range(9)}}
    hint = unenforced_hint(schema(many))
    assert hint.endswith("; and 5 more")
    assert len(hint) < 1000


@pytest.mark.parametrize(
    "constraint",
    [
        None,
        AnyText(),
        JsonObject(),
        schema(LOOSE, is_strict=True),
        schema({"type": "object", "properties": {"pattern": {"type": "string", "pattern": r"^\d\cJ$"}}}),
        schema({"pattern": "(?=x)", "description": "x" * (1 << 20)}),  # rejected later
    ],
)
def test_nothing_is_said_if_nothing_is_left_out(constraint: Constraint | None) -> None:
    assert unenforced_hint(constraint) == ""
