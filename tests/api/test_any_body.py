"""Whatever a client sends: an answer or a 4xx in OpenAI's shape, never a 5xx."""

import asyncio
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from tests.api.any_json import any_json, any_text, body_of
from tests.api.stand_in import error_of, serving

from myna.wire.parameters import CHAT, COMPLETIONS

_part = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "refusal", "image_url", "file", "x"])},
    optional={"text": any_text, "refusal": any_text},
)
_call = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b"]), "type": st.just("function")},
    optional={"function": st.fixed_dictionaries({"name": st.just("f"), "arguments": any_text})},
)
_message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])},
    optional={
        "content": any_text | st.none() | st.lists(_part, max_size=2) | any_json,
        "name": any_text,
        "refusal": any_text | st.none(),
        "tool_calls": st.lists(_call, max_size=2) | st.none(),
        "tool_call_id": st.sampled_from(["a", "b", "c"]),
    },
)
_schema = st.sampled_from(
    [
        None,
        {},
        {"type": "object"},
        {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"$ref": "#"}}},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
        {"$ref": "#/nowhere"},
        {"anyOf": 5, "properties": []},
    ]
)
_tool = st.fixed_dictionaries(
    {"type": st.just("function")},
    optional={
        "function": st.fixed_dictionaries(
            {"name": st.sampled_from(["f", "g"])},
            optional={"parameters": _schema | any_json, "strict": st.booleans(), "description": any_text},
        )
    },
)
_format = st.fixed_dictionaries(
    {"type": st.sampled_from(["json_schema", "json_object", "text"])},
    optional={
        "json_schema": st.fixed_dictionaries(
            {"name": st.just("n")}, optional={"schema": _schema | any_json, "strict": st.booleans()}
        )
    },
)
_choice = st.sampled_from(
    ["auto", "none", "required", {"type": "function", "function": {"name": "f"}}, {"type": "none"}, {}]
)
_prompt = any_text | st.lists(any_text, max_size=3) | st.lists(st.integers(-1, 300), max_size=3) | any_json


async def _ask(path: str, body: dict[str, Any]) -> None:
    async with serving() as model:
        content = orjson.dumps({"model": "tiny"} | body)
        response = await model.client.post(
            f"/v1/{path}", content=content, headers={"content-type": "application/json"}
        )
    assert response.status_code == 200 or 400 <= response.status_code < 500
    if response.status_code != 200:
        error = error_of(response)
        assert error["type"] == "invalid_request_error"
        assert error["message"]


@given(body_of(CHAT, messages=st.lists(_message, max_size=4) | any_json))
def test_any_chat_request_gets_an_answer_or_the_clients_error(body: dict[str, Any]) -> None:
    asyncio.run(_ask("chat/completions", body))


@given(
    st.fixed_dictionaries(
        {"messages": st.just([{"role": "user", "content": "json"}])},
        optional={
            "tools": st.lists(_tool, max_size=3),
            "tool_choice": _choice | any_json,
            "response_format": _format,
            "parallel_tool_calls": st.booleans(),
            "stream": st.booleans(),
            "logprobs": st.booleans(),
            "store": st.booleans(),
        },
    )
)
def test_any_tools_and_schemas_get_an_answer_or_the_clients_error(body: dict[str, Any]) -> None:
    asyncio.run(_ask("chat/completions", body))


@given(body_of(COMPLETIONS, prompt=_prompt))
def test_any_completion_request_gets_an_answer_or_the_clients_error(body: dict[str, Any]) -> None:
    asyncio.run(_ask("completions", body))


async def test_half_of_a_surrogate_pair_is_answered_as_the_replacement_character() -> None:
    body = (
        r'{"model": "tiny", "messages": [{"role": "user", "name": "n", "content": "cut \ud83d"}], '
        r'"tools": [{"type": "function", "function": {"name": "f", "description": "\udc00"}}]}'
    )
    async with serving() as model:
        response = await model.client.post(
            "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )
        assert response.status_code == 200
        assert model.prompting.conversations[0][0].text == "cut \ufffd"
        assert model.prompting.tools[0][0].description == "\ufffd"
