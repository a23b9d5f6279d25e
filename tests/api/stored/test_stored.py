"""Stored completions over HTTP: envelopes, filters, paging, owners and faults, on a live server."""

import json

import openai
import orjson
import pytest
from tests.http.live import running
from tests.http.scripted import KEY, ScriptedGenerator, pool_of, services

from myna.api.stored.shapes import item_json
from myna.core.stored import MAX_PAGE_BYTES, StoredCompletion
from myna.request.services import Services

FAMILIES = ("myna.api.models.routes", "myna.api.stored.routes")
MESSAGES = [
    {"role": "system", "content": "Be kind.", "content_parts": None, "name": None},
    {"role": "user", "content": "喂", "content_parts": None, "name": "wang"},
]


def _services(count: int = 3, project: str = "default") -> Services:
    made = services(pool_of(ScriptedGenerator([])))
    for number in range(count):
        completion_id = f"chatcmpl-{number}"
        item: dict[str, object] = {
            "object": "chat.completion",
            "id": completion_id,
            "model": "tiny",
            "metadata": None,
            "choices": [],
        }
        made.completions.put(
            StoredCompletion(
                id=completion_id,
                project=project,
                created=1_700_000_000 + number,
                model="tiny",
                item=json.dumps(item).encode(),
                messages=json.dumps(MESSAGES, ensure_ascii=False).encode(),
                replay=b"",
                metadata={"n": str(number), "even": str(number % 2 == 0)},
            )
        )
    return made


def _client(base_url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0)


async def test_the_sdk_pages_through_the_list_newest_first() -> None:
    async with running(_services(5), families=FAMILIES) as live, _client(live.base_url) as client:
        seen = [item.id async for item in client.chat.completions.list(limit=2)]
        even = await client.chat.completions.list(metadata={"even": "True"}, order="asc", model="tiny")
    assert seen == [f"chatcmpl-{number}" for number in (4, 3, 2, 1, 0)]
    assert [item.id for item in even.data] == ["chatcmpl-0", "chatcmpl-2", "chatcmpl-4"]


async def test_an_empty_list_has_null_ends() -> None:
    async with running(_services(0), families=FAMILIES) as live:
        reply = await live.ask("GET", "/v1/chat/completions")
    assert reply.body == b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'
    assert reply.headers["content-type"] == "application/json"


async def test_one_is_retrieved_labelled_and_deleted() -> None:
    async with running(_services(), families=FAMILIES) as live, _client(live.base_url) as client:
        found = await live.ask("GET", "/v1/chat/completions/chatcmpl-1")
        updated = await client.chat.completions.update("chatcmpl-1", metadata={"城": "北京"})
        deleted = await client.chat.completions.delete("chatcmpl-1")
        with pytest.raises(openai.NotFoundError) as gone:
            await client.chat.completions.retrieve("chatcmpl-1")
    assert list(json.loads(found.body)) == ["object", "id", "model", "metadata", "choices"]
    assert json.loads(found.body)["metadata"] == {"n": "1", "even": "False"}
    assert updated.metadata == {"城": "北京"}
    assert (deleted.object, deleted.id, deleted.deleted) == ("chat.completion.deleted", "chatcmpl-1", True)
    assert gone.value.body == {
        "message": "Completion chatcmpl-1 not found",
        "type": "invalid_request_error",
        "param": "completion_id",
        "code": "not_found",
    }


async def test_messages_are_numbered_and_paged() -> None:
    async with running(_services(1), families=FAMILIES) as live, _client(live.base_url) as client:
        first = await client.chat.completions.messages.list("chatcmpl-0", limit=1)
        rest = await client.chat.completions.messages.list("chatcmpl-0", after=first.data[0].id)
        last = await client.chat.completions.messages.list("chatcmpl-0", order="desc")
    assert [message.id for message in first.data] == ["chatcmpl-0-0"] and first.has_more
    assert [(message.id, message.content) for message in rest.data] == [("chatcmpl-0-1", "喂")]
    assert [message.id for message in last.data] == ["chatcmpl-0-1", "chatcmpl-0-0"]


async def test_another_projects_rows_do_not_exist() -> None:
    async with running(_services(2, project="other"), families=FAMILIES) as live:
        listed = await live.ask("GET", "/v1/chat/completions")
        statuses = [
            (await live.ask(method, f"/v1/chat/completions/chatcmpl-0{rest}", body)).status
            for method, rest, body in (
                ("GET", "", b""),
                ("GET", "/messages", b""),
                ("POST", "", b'{"metadata": {}}'),
                ("DELETE", "", b""),
            )
        ]
    assert json.loads(listed.body)["data"] == []
    assert statuses == [404, 404, 404, 404]


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("limit=0", "limit", "integer_below_min_value"),
        ("limit=101", "limit", "integer_above_max_value"),
        ("limit=two", "limit", "invalid_type"),
        ("order=up", "order", "invalid_value"),
        ("colour=red", "colour", "unknown_parameter"),
        ("after=nowhere", "completion_id", "not_found"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(query: str, param: str, code: str) -> None:
    async with running(_services(), families=FAMILIES) as live:
        reply = await live.ask("GET", f"/v1/chat/completions?{query}")
    error = json.loads(reply.body)["error"]
    assert reply.status in (400, 404)
    assert (error["param"], error["code"]) == (param, code)


@pytest.mark.parametrize(
    ("body", "param"),
    [(b"{}", "metadata"), (b'{"metadata": 5}', "metadata"), (b'{"metadata": {"k": 1}}', "metadata.k")],
)
async def test_a_wrong_update_changes_nothing(body: bytes, param: str) -> None:
    async with running(_services(), families=FAMILIES) as live:
        reply = await live.ask("POST", "/v1/chat/completions/chatcmpl-0", body)
        after = await live.ask("GET", "/v1/chat/completions/chatcmpl-0")
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["param"] == param
    assert json.loads(after.body)["metadata"]["n"] == "0"


async def test_a_page_ends_where_its_items_would_be_too_large() -> None:
    made = _services(0)
    for number in range(9):
        item = {"id": f"chatcmpl-{number}", "metadata": None, "text": "x" * (MAX_PAGE_BYTES // 3)}
        made.completions.put(
            StoredCompletion(
                id=f"chatcmpl-{number}",
                project="default",
                created=number,
                model="tiny",
                item=orjson.dumps(item),
                messages=b"[]",
                replay=b"{}",
                metadata={"n": str(number)},
            )
        )
    seen, after, num_pages = list[dict[str, object]](), "", 0
    async with running(made, families=FAMILIES) as live:
        while True:
            reply = await live.ask("GET", f"/v1/chat/completions?limit=100&order=asc{after}")
            assert len(reply.body) < MAX_PAGE_BYTES + 1000
            page = orjson.loads(reply.body)
            seen += page["data"]
            num_pages += 1
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
    assert [item["metadata"] for item in seen] == [{"n": str(number)} for number in range(9)]
    assert num_pages == 5


def test_metadata_takes_the_place_of_the_items_own_null_alone() -> None:
    schema = {"const": {"metadata": None}}
    for item in ({"tools": [schema], "metadata": None}, {"text": '"metadata":null', "metadata": None}):
        row = StoredCompletion(
            id="chatcmpl-1",
            project="default",
            created=1,
            model="tiny",
            item=orjson.dumps(item),
            messages=b"[]",
            replay=b"{}",
            metadata={"a": "b"},
        )
        assert orjson.loads(item_json(row)) == {**item, "metadata": {"a": "b"}}
