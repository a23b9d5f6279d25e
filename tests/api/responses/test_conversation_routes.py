"""Conversations: they hold what is put into them and what responses add, in order, for their owner alone."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.api.responses.reading import events_of, followed
from tests.api.stand_in import Model, error_of, serving
from tests.http.scripted import words

from myna.core.events import PromptDone, TextDelta
from myna.core.stored_responses import ConversationStore
from myna.stores.memory_stores import MemoryStores
from myna.stores.responses_memory import MemoryConversational, MemoryConversations
from myna.stores.store_quota import ProjectQuota
from myna.stores.store_writer import WriterLimits

USER = {"role": "user", "content": "Hello"}


@asynccontextmanager
async def _with_conversation(*scripts: Any, **body: Any) -> AsyncIterator[tuple[Model, str]]:
    """A server, and the path of a new conversation on it."""
    async with serving(*scripts) as model:
        reply = await model.client.post("/v1/conversations", json=body)
        assert reply.status_code == 200, reply.text
        yield model, f"/v1/conversations/{reply.json()['id']}"


async def _texts(model: Model, path: str) -> list[str]:
    page = (await model.client.get(f"{path}/items?order=asc&limit=100")).json()
    return [f"{item['role']}: {item['content'][0]['text']}" for item in page["data"]]


@pytest.mark.parametrize("body", [{}, {"json": {}}, {"json": {"items": []}}, {"json": {"metadata": {}}}])
async def test_an_empty_conversation_is_created_by_any_empty_body(body: dict[str, Any]) -> None:
    async with serving() as model:
        created = await model.client.post("/v1/conversations", **body)
        shown = created.json()
        assert list(shown) == ["id", "object", "created_at", "metadata"]
        assert (shown["object"], shown["metadata"], len(shown["id"])) == ("conversation", {}, 53)
        again = await model.client.get(f"/v1/conversations/{shown['id']}")
        assert again.content == created.content
        items = (await model.client.get(f"/v1/conversations/{shown['id']}/items")).json()
        assert items == {"object": "list", "data": [], "first_id": None, "has_more": False, "last_id": None}


async def test_metadata_is_replaced() -> None:
    async with _with_conversation(metadata={"old": "1"}) as (model, path):
        updated = await model.client.post(path, json={"metadata": {"new": "2"}})
        assert updated.json()["metadata"] == {"new": "2"}
        assert (await model.client.get(path)).content == updated.content
        refused = await model.client.post(path, json={})
        assert (refused.status_code, error_of(refused)["param"]) == (400, "metadata")


async def test_items_are_added_listed_retrieved_and_removed() -> None:
    async with _with_conversation(items=[{"role": "developer", "content": "Be kind."}]) as (model, path):
        added = await model.client.post(f"{path}/items", json={"items": [USER, {**USER, "content": "Again"}]})
        page = added.json()
        assert list(page) == ["object", "data", "first_id", "has_more", "last_id"]
        assert [item["content"][0]["text"] for item in page["data"]] == ["Hello", "Again"]
        assert await _texts(model, path) == ["developer: Be kind.", "user: Hello", "user: Again"]
        newest = (await model.client.get(f"{path}/items?limit=1")).json()
        assert (newest["first_id"], newest["has_more"]) == (page["last_id"], True)
        item = await model.client.get(f"{path}/items/{page['first_id']}")
        assert item.json() == page["data"][0]
        removed = await model.client.delete(f"{path}/items/{page['first_id']}")
        assert removed.content == (await model.client.get(path)).content
        assert await _texts(model, path) == ["developer: Be kind.", "user: Again"]
        for method in ("GET", "DELETE"):
            gone = await model.client.request(method, f"{path}/items/{page['first_id']}")
            assert error_of(gone)["message"] == f"Item with id '{page['first_id']}' not found."


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_continues_its_conversation_and_adds_to_it(stream: bool) -> None:
    async with _with_conversation(words("Hi"), words("Ho"), items=[USER]) as (model, path):
        for text in ("One", "Two"):
            reply = await model.ask(
                "responses",
                input=text,
                instructions="Not kept.",
                conversation=path.rsplit("/", 1)[1],
                stream=stream,
            )
            assert reply.status_code == 200, reply.text
        response = followed(events_of(reply.text)) if stream else reply.json()
        assert response["conversation"] == {"id": path.rsplit("/", 1)[1]}
        assert [message.text for message in model.prompting.conversations[-1]] == [
            "Not kept.", "Hello", "One", "Hi", "Two",
        ]  # fmt: skip
        assert await _texts(model, path) == [
            "user: Hello", "user: One", "assistant: Hi", "user: Two", "assistant: Ho",
        ]  # fmt: skip
        listed = await model.client.get(f"/v1/responses/{response['id']}/input_items?order=asc")
        assert [item["content"][0]["text"] for item in listed.json()["data"]] == ["Hello", "One", "Hi", "Two"]


async def test_a_response_that_is_not_stored_adds_to_its_conversation_too() -> None:
    async with _with_conversation(words("Hi"), words("Ho")) as (model, path):
        for text in ("One", "Two"):
            conversation = {"id": path.rsplit("/", 1)[1]}
            reply = await model.ask("responses", input=text, conversation=conversation, store=False)
            assert (await model.client.get(f"/v1/responses/{reply.json()['id']}")).status_code == 404
        assert await _texts(model, path) == ["user: One", "assistant: Hi", "user: Two", "assistant: Ho"]


async def test_a_failed_response_adds_nothing_and_unlocks() -> None:
    failing = [PromptDone(3, 0), TextDelta(0, "Hi", 1), RuntimeError("a fault")]
    async with _with_conversation(failing, words("Ho")) as (model, path):
        conversation = path.rsplit("/", 1)[1]
        assert (await model.ask("responses", input="One", conversation=conversation)).status_code == 500
        assert await _texts(model, path) == []
        assert (await model.ask("responses", input="Two", conversation=conversation)).status_code == 200


async def test_one_response_at_a_time_uses_a_conversation() -> None:
    go = asyncio.Event()
    script = [*words("Hi")[:2], go, *words("Hi")[2:]]
    async with _with_conversation(script, words("Ho")) as (model, path):
        conversation = path.rsplit("/", 1)[1]
        first = asyncio.create_task(model.ask("responses", input="One", conversation=conversation))
        await model.generator.is_asked.wait()
        refused = await model.ask("responses", input="Two", conversation=conversation)
        assert (refused.status_code, error_of(refused)) == (
            400,
            {
                "message": "Another process is currently operating on this conversation. Please retry in a "
                "few seconds.",
                "type": "invalid_request_error",
                "param": None,
                "code": "conversation_locked",
            },
        )
        go.set()
        assert (await first).status_code == 200
        assert (await model.ask("responses", input="Two", conversation=conversation)).status_code == 200


async def test_a_deleted_conversation_is_gone_but_its_items_can_be_referred_to() -> None:
    async with _with_conversation(words("Hi"), items=[USER]) as (model, path):
        item_id = (await model.client.get(f"{path}/items")).json()["first_id"]
        deleted = await model.client.delete(path)
        conversation = path.rsplit("/", 1)[1]
        assert deleted.json() == {"id": conversation, "object": "conversation.deleted", "deleted": True}
        refused = await model.ask("responses", input="Hi", conversation=conversation)
        assert (refused.status_code, error_of(refused)) == (
            404,
            {
                "message": f"Conversation with id '{conversation}' not found.",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            },
        )
        referring = await model.ask("responses", input=[{"type": "item_reference", "id": item_id}])
        assert referring.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("POST", "", {"metadata": {}}),
        ("DELETE", "", None),
        ("GET", "/items", None),
        ("POST", "/items", {"items": [USER]}),
        ("GET", "/items/msg_1", None),
        ("DELETE", "/items/msg_1", None),
    ],
)
async def test_unknown_conversations_are_not_found(
    method: str, path: str, body: dict[str, Any] | None
) -> None:
    async with serving() as model:
        reply = await model.client.request(method, f"/v1/conversations/conv_x{path}", json=body)
    assert reply.status_code == 404
    assert error_of(reply) == {
        "message": "Conversation with id 'conv_x' not found.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"items": [USER] * 21}, "items", "array_above_max_length"),
        ({"items": [{"type": "bogus"}]}, "items[0]", "invalid_value"),
        ({"items": [{"role": "user"}]}, "items[0].content", "missing_required_parameter"),
        ({"items": 7}, "items", "invalid_type"),
        ({"bogus": 7}, "bogus", "unknown_parameter"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"items": [{"id": "msg_nobody"}]}, None, None),
    ],
)
async def test_wrong_bodies_are_refused(body: dict[str, Any], param: str | None, code: str | None) -> None:
    async with serving() as model:
        refused = await model.client.post("/v1/conversations", json=body)
    assert refused.status_code in (400, 404)
    error = error_of(refused)
    assert (error["param"], error["code"]) == (param, code)


async def test_a_used_up_quota_refuses_more() -> None:
    limits = WriterLimits(quota=ProjectQuota(max_rows=1))
    async with serving(writer_limits=limits) as model:
        assert (await model.client.post("/v1/conversations")).status_code == 200
        await model.services.store_writer.aclose()
    async with serving(writer_limits=limits, responses=model.services.responses) as model:
        refused = await model.client.post("/v1/conversations")
    assert (refused.status_code, error_of(refused)["code"]) == (429, "insufficient_quota")


async def test_what_is_added_counts_toward_the_quota_at_once() -> None:
    limits = WriterLimits(quota=ProjectQuota(max_bytes=3000))
    async with serving(writer_limits=limits) as model:
        body = {"items": [{"role": "user", "content": "x" * 1000}]}
        replies = [await model.client.post("/v1/conversations", json=body) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 429, 429]
        await model.services.store_writer.aclose()


class _SlowLock(MemoryConversations):
    """Reserving takes as long as the test wants."""

    def __init__(self, shared: MemoryConversational) -> None:
        super().__init__(shared)
        self.is_asked, self.may_go_on = threading.Event(), threading.Event()

    def lock(self, project: str, conversation_id: str, owner: str, runner: str) -> bool:
        self.is_asked.set()
        self.may_go_on.wait()
        return super().lock(project, conversation_id, owner, runner)


class _SlowlyLocking(MemoryStores):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.slow = _SlowLock(self._conversational)

    def conversations(self) -> ConversationStore:
        return self.slow


async def test_a_client_that_leaves_while_it_is_being_locked_leaves_it_unlocked() -> None:
    stores = _SlowlyLocking("memory:")
    async with serving(stores=stores) as model:
        conversation = (await model.client.post("/v1/conversations")).json()["id"]
        asking = asyncio.create_task(model.ask("responses", input="One", conversation=conversation))
        await asyncio.to_thread(stores.slow.is_asked.wait)
        asking.cancel()
        await asyncio.sleep(0)
        stores.slow.may_go_on.set()
        await asyncio.wait([asking])
        reply = await model.ask("responses", input="Two", conversation=conversation)
    assert reply.status_code == 200, reply.text


async def test_adding_needs_items() -> None:
    async with _with_conversation() as (model, path):
        refused = await model.client.post(f"{path}/items", json={})
        assert (error_of(refused)["param"], error_of(refused)["code"]) == (
            "items",
            "missing_required_parameter",
        )
        wrong = await model.client.get(f"{path}/items?after=msg_nobody")
        assert (wrong.status_code, error_of(wrong)["message"]) == (
            404,
            "Item with id 'msg_nobody' not found.",
        )
