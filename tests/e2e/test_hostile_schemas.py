"""Schemas that no model could follow, or only at everyone's cost: a 400 by name, and the server goes on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.e2e.server import KEY, MODEL, serving

EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    with (
        serving(tmp_path_factory.mktemp("home"), "--engine", "fake") as server,
        OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client,
    ):
        yield client


def an_object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def nested(levels: int) -> dict[str, Any]:
    innermost: dict[str, Any] = {"type": "integer"}
    return reduce(lambda inner, _: {"type": "object", "properties": {"a": inner}}, range(levels), innermost)


def chain(length: int) -> dict[str, Any]:
    links = {f"d{i}": {"items": {"$ref": f"#/$defs/d{i + 1}"}} for i in range(length)}
    return {**an_object(a={"$ref": "#/$defs/d0"}), "$defs": {**links, f"d{length}": {}}}


HOSTILE: dict[str, dict[str, Any]] = {
    "80 levels": nested(80),
    "90 levels": nested(90),
    "a loop": {
        **an_object(a={"$ref": "#/$defs/a"}),
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "a billion letters": an_object(a={"type": "string", "pattern": "^((a{1000}){1000}){1000}$"}),
    "a constant of 1 MB": an_object(a={"const": "x" * 1_000_000}),
    "1,000 optional properties": {"type": "object", "properties": {f"p{i}": {} for i in range(1000)}},
    "450 properties and any integer": {
        "type": "object",
        "properties": {f"p{i}": {"type": "string"} for i in range(1000)},
        "additionalProperties": {"type": "integer"},
    },
}


def ask(client: OpenAI, **body: Any) -> Any:
    messages: Any = [{"role": "user", "content": "Write JSON."}]
    return client.chat.completions.create(model=MODEL, messages=messages, max_tokens=60, **body)


def form(schema: dict[str, Any], *, strict: bool = False) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": strict}}


def function(name: str, schema: dict[str, Any], *, strict: bool = False) -> dict[str, Any]:
    declared = {"name": name, "parameters": schema, "strict": strict}
    return {"type": "function", "function": declared}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_response_format_is_refused_by_name(client: OpenAI, name: str, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, response_format=form(HOSTILE[name]), stream=stream)
    assert caught.value.param == "response_format"
    assert "Invalid schema for response_format 'x': " in str(caught.value)


@pytest.mark.parametrize("name", ["80 levels", "90 levels", "a loop", "a billion letters"])
def test_a_tools_parameters_are_refused_by_name(client: OpenAI, name: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, tools=[function("f", HOSTILE[name])])
    assert (caught.value.param, caught.value.code) == (
        "tools[0].function.parameters",
        "invalid_function_parameters",
    )
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, functions=[{"name": "f", "parameters": HOSTILE[name]}])
    assert caught.value.param == "functions[0].parameters"


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_a_pattern_that_cant_be_enforced_costs_nobody_the_request(client: OpenAI, choice: str) -> None:
    tools = [
        function("mail", an_object(to={"type": "string", "pattern": EMAIL})),
        function("add", an_object(a={"type": "integer"})),
    ]
    assert ask(client, tools=tools, tool_choice=choice).choices
    assert ask(client, response_format=form(an_object(to={"type": "string", "pattern": EMAIL}))).choices


def test_a_strict_pattern_that_cant_be_enforced_is_refused_with_its_place(client: OpenAI) -> None:
    schema = an_object(to={"type": "string", "pattern": EMAIL})
    with pytest.raises(openai.BadRequestError, match=r"In context=\('properties', 'to'\), 'pattern'"):
        ask(client, response_format=form(schema, strict=True))
    with pytest.raises(openai.BadRequestError, match=r"In context=\('properties', 'to'\)") as caught:
        ask(client, tools=[function("add", an_object()), function("mail", schema, strict=True)])
    assert caught.value.param == "tools[1].function.parameters"


def test_what_would_overflow_a_stack_ends_no_process(client: OpenAI) -> None:
    """It used to end the server's, where schemas were checked: references are followed by recursion."""
    with ThreadPoolExecutor(2) as together:
        answers = [together.submit(ask, client, response_format=form(chain(n))) for n in (4000, 4001)]
    for answer in answers:
        error = answer.exception()
        assert error is None or isinstance(error, openai.BadRequestError)
    assert ask(client).choices
