"""Schemas over HTTP: what isn't enforced is in a header; what can't be read is a 400."""

from functools import reduce
from typing import Any

import pytest
from tests.api.stand_in import error_of, serving

USER = {"role": "user", "content": "a"}
EMAIL = r"^(?!\.)[a-z.]+@[a-z]+$"
LOOSE = {"type": "object", "properties": {"mail": {"type": "string", "pattern": EMAIL}}}


def tool(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": schema, **more}}


def answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"tools": [tool(LOOSE)]}, "tools[0].function.parameters.properties.mail"),
        ({"functions": [tool(LOOSE)["function"]]}, "functions[0].parameters.properties.mail"),
        ({"response_format": answer(LOOSE)}, "response_format.properties.mail"),
    ],
)
async def test_a_pattern_that_isnt_enforced_is_named_in_a_header(
    changes: dict[str, Any], place: str, is_stream: bool
) -> None:
    async with serving() as model:
        response = await model.ask("chat/completions", messages=[USER], stream=is_stream, **changes)
    assert response.status_code == 200
    assert response.headers["x-myna-hint"] == (
        f"Not enforced: 'pattern' at {place} (look-ahead and look-behind are not supported)"
    )


async def test_there_is_no_header_if_all_is_enforced() -> None:
    enforced = {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^\d\cJ[^]$"}}}
    async with serving() as model:
        for changes in ({"tools": [tool(enforced)]}, {"tools": [tool(LOOSE)], "tool_choice": "none"}, {}):
            response = await model.ask("chat/completions", messages=[USER], **changes)
            assert "x-myna-hint" not in response.headers


def nested(levels: int, wrap: str) -> dict[str, Any]:
    def around(inner: dict[str, Any], _: int) -> dict[str, Any]:
        forms: dict[str, dict[str, Any]] = {
            "object": {"type": "object", "properties": {"a": inner}},
            "array": {"type": "array", "items": inner},
            "anyOf": {"anyOf": [inner]},
        }
        return forms[wrap]

    deep = reduce(around, range(levels), {"type": "string"})
    return {"type": "object", "properties": {"x": deep}}


@pytest.mark.parametrize(("levels", "wrap"), [(90, "object"), (180, "array"), (90, "anyOf")])
async def test_a_deeply_nested_schema_is_rejected_by_name(levels: int, wrap: str) -> None:
    schema = nested(levels, wrap)
    cases: dict[str, dict[str, Any]] = {
        "response_format": {"response_format": answer(schema)},
        "tools[0].function.parameters": {"tools": [tool(schema)]},
        "functions[0].parameters": {"functions": [tool(schema)["function"]]},
    }
    async with serving() as model:
        for param, changes in cases.items():
            response = await model.ask("chat/completions", messages=[USER], **changes)
            assert response.status_code == 400
            assert error_of(response)["param"] == param
