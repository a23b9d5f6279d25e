"""Whatever a client sends to Responses, Messages, and what surrounds them: an answer or a 4xx with that API's
error, never a 5xx."""

import asyncio
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from httpx import AsyncClient, Response
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.api.any_json import any_json, any_text, body_of
from tests.api.embeddings.stand_in import embedding
from tests.api.stand_in import serving

from myna.wire.anthropic_parameters import COUNT_TOKENS, MESSAGES
from myna.wire.parameters import (
    COMPACT,
    CONVERSATION,
    CONVERSATION_ITEMS,
    EMBEDDINGS,
    INPUT_TOKENS,
    RESPONSES,
)

# Each route gets the profile's examples; a quarter of them would do for most.
_fewer = settings(max_examples=max(20, settings().max_examples // 3))

_id = st.sampled_from(["a", "b", "resp_1", "msg_" + "0" * 50, ""])
_part = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "refusal", "input_image", "text", "x"])},
    optional={"text": any_text, "refusal": any_text, "annotations": any_json, "image_url": any_text},
)
_message = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "developer", "x"])},
    optional={
        "type": st.just("message"),
        "content": any_text | st.lists(_part, max_size=2) | any_json,
        "id": _id,
        "status": any_text,
    },
)
_ITEM_TYPES = [
    "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning",
    "compaction", "item_reference", "web_search_call", "x",
]  # fmt: skip
_other_item = st.fixed_dictionaries(
    {"type": st.sampled_from(_ITEM_TYPES)},
    optional={
        "id": _id,
        "call_id": _id,
        "name": st.sampled_from(["f", "g"]),
        "arguments": any_text,
        "input": any_text,
        "output": any_text | st.lists(_part, max_size=2),
        "summary": st.lists(_part, max_size=1) | any_json,
        "content": st.lists(_part, max_size=1) | any_json,
        "encrypted_content": any_text,
    },
)
_items = st.lists(_message | _other_item | any_json, max_size=4)
_tool = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "custom", "namespace", "web_search", "x"])},
    optional={
        "name": st.sampled_from(["f", "g"]),
        "parameters": any_json,
        "strict": st.booleans(),
        "format": any_json,
        "tools": any_json,
    },
)
_block = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", "image", "document", "x"])},
    optional={
        "text": any_text,
        "id": _id,
        "tool_use_id": _id,
        "name": st.sampled_from(["f", "g"]),
        "input": any_json,
        "content": any_json,
        "thinking": any_text,
        "signature": any_text,
        "source": any_json,
        "cache_control": any_json,
    },
)
_turn = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "x"])},
    optional={"content": any_text | st.lists(_block, max_size=3) | any_json},
)
_claude_tool = st.fixed_dictionaries(
    {"name": st.sampled_from(["f", "g"])}, optional={"input_schema": any_json, "type": any_text}
)

_of_responses = {
    "input": any_text | _items,
    "tools": st.lists(_tool, max_size=2) | any_json,
}
ROUTES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "responses": body_of(RESPONSES, **_of_responses) | body_of(RESPONSES, input=_items),
    "responses/input_tokens": body_of(INPUT_TOKENS, **_of_responses),
    "responses/compact": body_of(COMPACT, input=any_text | _items),
    "conversations": body_of(CONVERSATION, items=_items),
    "conversations/conv_0/items": body_of(CONVERSATION_ITEMS, items=_items),
    "messages": body_of(
        MESSAGES,
        messages=st.lists(_turn, max_size=4) | any_json,
        max_tokens=st.integers(-1, 9),
        tools=st.lists(_claude_tool, max_size=2) | any_json,
    ),
    "messages/count_tokens": body_of(COUNT_TOKENS, messages=st.lists(_turn, max_size=4) | any_json),
    "batches": body_of(
        ["completion_window", "metadata", "output_expires_after"],
        endpoint=st.sampled_from(["/v1/responses", "/v1/embeddings", "x"]) | any_json,
        input_file_id=_id | any_json,
    ),
    "moderations": body_of(["input"]),
}


def _check(response: Response) -> None:
    assert response.status_code == 200 or 400 <= response.status_code < 500, response.text
    if response.status_code != 200:
        error = response.json()["error"]
        assert error["type"] in ("invalid_request_error", "not_found_error"), error
        assert error["message"]


async def _post(client: AsyncClient, path: str, body: dict[str, Any]) -> None:
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    _check(await client.post(f"/v1/{path}", content=orjson.dumps(body), headers=headers))


@pytest.mark.parametrize("path", ROUTES)
def test_any_body_gets_an_answer_or_the_clients_error(path: str) -> None:
    @_fewer
    @given(ROUTES[path])
    def ask(body: dict[str, Any]) -> None:
        async def once() -> None:
            async with serving() as model:
                await _post(model.client, path, {"model": "tiny"} | body)

        asyncio.run(once())

    ask()


@_fewer
@given(body_of(EMBEDDINGS, input=any_text | st.lists(any_text | st.integers(-1, 300), max_size=3) | any_json))
def test_any_texts_get_vectors_or_the_clients_error(body: dict[str, Any]) -> None:
    async def once() -> None:
        async with embedding() as model:
            await _post(model.client, "embeddings", {"model": "words-embedding"} | body)

    asyncio.run(once())


@_fewer
@given(
    st.dictionaries(
        st.sampled_from(["purpose", "expires_after[anchor]", "expires_after[seconds]", "x"]),
        st.sampled_from(["batch", "created_at", "3600", "-1"]) | any_text,
    ),
    any_text,
    st.binary(max_size=40),
)
def test_any_upload_is_a_file_or_the_clients_error(fields: dict[str, str], name: str, content: bytes) -> None:
    async def once() -> None:
        async with serving() as model:
            upload = {"file": (name, content)}
            _check(await model.client.post("/v1/files", data=fields, files=upload))

    asyncio.run(once())


@_fewer
@given(
    st.sampled_from(["responses", "conversations", "files", "batches"]),
    any_text.filter(lambda text: "/" not in text and text not in (".", "..", "")),
    st.dictionaries(
        st.sampled_from(["limit", "order", "after", "stream", "starting_after", "include", "purpose"]),
        any_text | st.sampled_from(["1", "-1", "asc", "true"]),
        max_size=3,
    ),
)
def test_any_id_and_query_get_an_answer_or_the_clients_error(
    family: str, name: str, query: dict[str, str]
) -> None:
    async def once() -> None:
        async with serving() as model:
            for path in (
                family,
                f"{family}/{name}",
                f"{family}/{name}/input_items",
                f"{family}/{name}/items",
            ):
                for method in ("GET", "DELETE"):
                    reply = await model.client.request(method, httpx_url(path), params=query)
                    assert reply.status_code < 500, reply.text

    def httpx_url(path: str) -> str:
        return "/v1/" + quote(path)

    asyncio.run(once())
