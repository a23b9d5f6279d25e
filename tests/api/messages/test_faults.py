"""Bad requests to Anthropic's API: its errors, in its envelope and its order, and never a 5xx."""

import asyncio
from typing import Any

import orjson
import pytest
from httpx import AsyncClient
from hypothesis import given
from hypothesis import strategies as st
from tests.api.messages.wire import CALL, READ, RESULT, USER, ask, error_of
from tests.api.stand_in import ServerTask, serving
from tests.http.scripted import KEY

from myna.api.messages.signatures import MAX_TEXT_BYTES, seal
from myna.app import HttpOptions, create_app
from myna.http.json_bodies import MAX_LEVELS
from myna.wire.anthropic_parameters import MESSAGES

THOUGHT = {"type": "thinking", "thinking": "", "signature": seal("a" * (MAX_TEXT_BYTES // 2 + 1))}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}}


def user(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "max_tokens missing": ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
    "max_tokens": ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
    "no messages": ({"messages": []}, "messages: at least one message is required"),
    "messages": ({"messages": "hi"}, "messages: Input should be a valid list"),
    "role": (
        {"messages": [{"role": "tool", "content": "a"}]},
        "messages.0.role: Input should be 'user', 'assistant' or 'system'",
    ),
    "no content": ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
    "empty content": (
        {"messages": [USER, {"role": "assistant", "content": ""}, USER]},
        "messages.1: all messages must have non-empty content except for the optional final assistant "
        "message",
    ),
    "block": (
        {"messages": user({"type": "video"})},
        "messages.0.content.0: Input tag 'video' found using 'type' does not match any of the expected tags: "
        "'text', 'image', 'document', 'tool_use', 'tool_result', 'thinking', 'redacted_thinking'",
    ),
    "text": ({"messages": user({"type": "text"})}, "messages.0.content.0.text.text: Field required"),
    "image": ({"messages": user(IMAGE)}, "messages.0.content.0: this model can't read images"),
    "image in a result": (
        {"messages": [USER, assistant(CALL), *user({**RESULT, "content": [IMAGE]})]},
        "messages.2.content.0: this model can't read images",
    ),
    "document": (
        {"messages": user({"type": "document", "source": {"type": "url", "url": "https://x"}})},
        "messages.0.content.0: this model can only read documents of plain text",
    ),
    "call of the user": (
        {"messages": user(CALL)},
        "messages.0.content.0: `tool_use` blocks can only be in `assistant` messages",
    ),
    "result without a call": (
        {"messages": user(RESULT)},
        "messages.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each `tool_result` "
        "block must have a corresponding `tool_use` block in the previous message.",
    ),
    "call without a result": (
        {"messages": [USER, assistant(CALL), USER]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message.",
    ),
    "call at the end": (
        {"messages": [USER, assistant(CALL)]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message.",
    ),
    "two results of a call": (
        {"messages": [USER, assistant(CALL), *user(RESULT, {**RESULT, "content": "43"})]},
        "messages.2: each `tool_use` must have a single `tool_result`, but there are several with the id "
        "toolu_1",
    ),
    "two calls with the same id": (
        {"messages": [USER, assistant(CALL, {**CALL, "name": "write"}), *user(RESULT)]},
        "messages.1: the ids of `tool_use` blocks must be unique",
    ),
    "thoughts that unpack to more than a body may hold": (
        {"messages": [USER, assistant(*[THOUGHT] * 2), USER]},
        "messages: the signatures of thinking blocks hold too much text",
    ),
    "prefill with a space": (
        {"messages": [USER, {"role": "assistant", "content": "The "}]},
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    "prefill with a format": (
        {
            "messages": [USER, {"role": "assistant", "content": "{"}],
            "output_config": {"format": {"type": "json_schema", "schema": {}}},
        },
        "output_config.format: the answer can't have a format if the last message is the assistant's",
    ),
    "tool without a schema": ({"tools": [{"name": "f"}]}, "tools.0.input_schema: Field required"),
    "tool's name": (
        {"tools": [{**READ, "name": "a b"}]},
        "tools.0.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    "same tools": ({"tools": [READ, READ]}, "tools: Tool names must be unique."),
    "choice without tools": (
        {"tool_choice": {"type": "any"}},
        "tool_choice: may only be specified while providing `tools`",
    ),
    "choice of another": (
        {"tools": [READ], "tool_choice": {"type": "tool", "name": "write"}},
        "tool_choice: Tool 'write' not found in provided tools",
    ),
    "choice": (
        {"tool_choice": {"type": "required"}},
        "tool_choice.type: Input should be 'auto', 'any', 'none' or 'tool'",
    ),
    "schema": (
        {"tools": [{**READ, "input_schema": {"type": "array"}}]},
        "Invalid schema for function 'read': schema must be a JSON Schema of 'type: \"object\"', got 'type: "
        '"array"\'.',
    ),
    "thinking": (
        {"thinking": {"type": "enabled"}},
        "thinking.budget_tokens: Field required",
    ),
    "budget": (
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        "thinking.budget_tokens: Input should be greater than or equal to 1024",
    ),
    "budget above max_tokens": (
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    "effort": (
        {"output_config": {"effort": "huge"}},
        "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
    ),
    "temperature": ({"temperature": 3}, "temperature: Input should be less than or equal to 2"),
    "stream": ({"stream": "yes"}, "stream: Input should be a valid boolean"),
    "stops": (
        {"stop_sequences": ["a"] * 17},
        "stop_sequences: List should have at most 16 items after validation, not 17",
    ),
    "unknown": ({"n": 2}, "n: Extra inputs are not permitted"),
    "messages come first": (
        {"n": 2, "temperature": 9, "messages": 1},
        "messages: Input should be a valid list",
    ),
    "known keys come before unknown ones": (
        {"n": 2, "temperature": 9},
        "temperature: Input should be less than or equal to 2",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_reported_in_anthropics_words_before_any_generation(name: str) -> None:
    changes, message = FAULTS[name]
    async with serving() as model:
        response = await ask(model, **changes)
        assert not model.generator.requests
    assert response.status_code == 400
    assert error_of(response) == {"type": "invalid_request_error", "message": message}
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("levels", [MAX_LEVELS, 1000])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("messages", '"messages": [], "tools": [{"name": "f", "input_schema": %s}]'),
        ("messages", '"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": %s}]}]'),
        ("messages/count_tokens", '"messages": [], "tools": [{"name": "f", "input_schema": %s}]'),
        ("chat/completions", '"tools": [{"type": "function", "function": {"name": "f", "parameters": %s}}]'),
        (
            "chat/completions",
            '"store": true, "messages": [{"role": "user", "content": "x"}], "response_format": '
            '{"type": "json_schema", "json_schema": {"name": "f", "schema": %s}}',
        ),
        ("responses", '"input": "x", "tools": [{"type": "function", "name": "f", "parameters": %s}]'),
    ],
)
async def test_a_deep_body_is_the_clients_fault(path: str, body: str, levels: int) -> None:
    deep = '{"a":' * levels + "1" + "}" * levels
    whole = '{"model": "tiny", "max_tokens": 9, ' + body % deep + "}"
    async with serving() as model:
        headers = {"content-type": "application/json"}
        response = await model.client.post(f"/v1/{path}", content=whole, headers=headers)
    assert response.status_code == 400
    assert "too many levels of nesting. Expected at most 200" in response.json()["error"]["message"]


async def test_a_missing_model_is_reported_first_and_an_unknown_one_by_its_name() -> None:
    async with serving() as model:
        missing = await model.client.post("/v1/messages", json={})
        unknown = await ask(model, model="claude-nope", messages=1)
    assert error_of(missing)["message"] == "model: Field required"
    assert unknown.status_code == 404
    assert error_of(unknown) == {"type": "not_found_error", "message": "model: claude-nope"}


async def test_a_prompt_that_is_too_long_says_so_in_the_words_that_clients_know() -> None:
    long = {"role": "user", "content": "a" * 9000}
    async with serving() as model:
        response = await ask(model, messages=[long])
        with_tools = await ask(model, messages=[long], tools=[READ])
        huge = await ask(model, messages=[{"role": "user", "content": "a" * 300_000}])
        counted = await model.client.post(
            "/v1/messages/count_tokens", json={"model": "tiny", "messages": [USER]}
        )
    assert response.status_code == 400
    assert error_of(response)["message"] == "prompt is too long: 9017 tokens > 4096 maximum"
    assert error_of(with_tools)["message"].startswith("prompt is too long: 90")
    assert error_of(huge)["message"] == "prompt is too long: 37500 tokens > 4096 maximum"
    assert counted.status_code == 200


async def test_strict_limits_ask_for_less_in_the_words_that_clients_know() -> None:
    async with serving(max_answer_tokens=8000, strict_max_tokens=True) as model:
        response = await ask(model, max_tokens=5000)
    assert error_of(response)["message"] == (
        "input length and `max_tokens` exceed context limit: 19 + 5000 > 4096, decrease input length or "
        "`max_tokens` and try again"
    )


async def test_what_fails_before_the_handler_has_anthropics_envelope_too() -> None:
    async with serving() as model:
        asgi = create_app(model.services, HttpOptions(max_body_bytes=64)).asgi

        async def post(path: str = "/v1/messages", **request: Any) -> Any:
            return await model.client.post(path, **request)

        no_key = await post(json={}, headers={"authorization": ""})
        wrong_key = await post(json={}, headers={"authorization": "", "x-api-key": "sk-ant-wrong"})
        not_json = await post(content=b"{", headers={"content-type": "application/json"})
        no_object = await post(json=[])
        not_declared = await post(content=b"{}", headers={"content-type": "text/plain"})
        no_route = await post("/v1/messages/batches", json={})
        no_method = await model.client.get("/v1/messages")
        elsewhere = await model.client.get("/v1/nowhere", headers={"anthropic-version": "2023-06-01"})
        others = await post("/v1/chat/completions", json={}, headers={"authorization": ""})
        async with AsyncClient(transport=ServerTask(asgi), base_url="http://localhost") as client:
            large = {"content-type": "application/json", "x-api-key": KEY}
            too_large = await client.post("/v1/messages", content=b" " * 99, headers=large)
    expected = [
        (no_key, 401, "authentication_error"),
        (wrong_key, 401, "authentication_error"),
        (not_json, 400, "invalid_request_error"),
        (no_object, 400, "invalid_request_error"),
        (not_declared, 400, "invalid_request_error"),
        (no_route, 404, "not_found_error"),
        (no_method, 405, "invalid_request_error"),
        (elsewhere, 404, "not_found_error"),
        (too_large, 413, "request_too_large"),
    ]
    for response, status, kind in expected:
        assert response.status_code == status
        assert error_of(response)["type"] == kind
    assert error_of(no_key)["message"].startswith("x-api-key header is required")
    assert error_of(wrong_key)["message"].startswith("invalid x-api-key")
    assert "sk-ant" not in wrong_key.text
    assert list(others.json()) == ["error"]


# --- any body ---

_text = st.text(max_size=6) | st.sampled_from(["auto", "any", "text", "\x00", "<user>"])
_scalar = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.integers(-3, 5000) | _text
_json: st.SearchStrategy[Any] = st.recursive(
    _scalar | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(_text | st.sampled_from(["type", "role", "content", "schema"]), inside, max_size=3)
    ),
    max_leaves=8,
)
_block = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", "image", "document", "x"])},
    optional={
        "text": _text,
        "id": st.sampled_from(["a", "b"]),
        "name": st.just("f"),
        "input": st.dictionaries(_text, _json, max_size=2) | _json,
        "tool_use_id": st.sampled_from(["a", "b", "c"]),
        "content": _text
        | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": _text}), max_size=2),
        "is_error": st.booleans(),
        "thinking": _text,
        "signature": _text | st.sampled_from(["AQ==", "Ag==", "AnicAAA="]),
        "source": st.fixed_dictionaries({"type": st.just("text")}, optional={"data": _text}),
        "cache_control": _json,
    },
)
_message = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"])},
    optional={"content": _text | st.lists(_block, max_size=3) | _json},
)
_tool = st.fixed_dictionaries(
    {"name": st.sampled_from(["f", "g"])},
    optional={
        "input_schema": st.sampled_from(
            [{"type": "object"}, {"type": "object", "properties": {"a": {"$ref": "#/x"}}}]
        )
        | _json,
        "description": _text,
        "type": st.sampled_from(["custom", "bash_20250124"]),
    },
)
_config = st.fixed_dictionaries(
    {},
    optional={
        "effort": st.sampled_from(["low", "max"]),
        "format": st.fixed_dictionaries({"type": st.just("json_schema"), "schema": _json}),
    },
)
_thinking = st.fixed_dictionaries(
    {"type": st.sampled_from(["enabled", "adaptive", "disabled"])},
    optional={"budget_tokens": st.sampled_from([1024, 5]), "display": st.sampled_from(["omitted", "x"])},
)
_choice = st.fixed_dictionaries(
    {"type": st.sampled_from(["auto", "any", "none", "tool"])}, optional={"name": st.just("f")}
)
_known = {
    "messages": st.lists(_message, max_size=4) | _json,
    "tools": st.lists(_tool, max_size=3) | _json,
    "system": _text | st.lists(_block, max_size=2) | _json,
    "output_config": _config | _json,
    "thinking": _thinking | _json,
    "tool_choice": _choice | _json,
    "max_tokens": st.sampled_from([1, 2000]) | _json,
}


async def _ask(path: str, body: dict[str, Any]) -> None:
    async with serving() as model:
        content = orjson.dumps({"model": "tiny", "max_tokens": 9, "messages": [USER]} | body)
        response = await model.client.post(
            path, content=content, headers={"content-type": "application/json", "x-api-key": KEY}
        )
    assert response.status_code == 200 or 400 <= response.status_code < 500
    if response.status_code != 200:
        assert error_of(response)["message"]


@given(
    st.fixed_dictionaries(
        {}, optional={**{name: _json for name in MESSAGES if name != "model"}, **_known, "bogus": _json}
    ).map(lambda body: dict(list(body.items())[:5]))
)
def test_any_request_gets_an_answer_or_the_clients_error(body: dict[str, Any]) -> None:
    asyncio.run(_ask("/v1/messages", body))
    asyncio.run(
        _ask("/v1/messages/count_tokens", {name: body[name] for name in body if name != "max_tokens"})
    )
