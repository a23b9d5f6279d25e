"""What belongs to another project doesn't exist, whichever way it is asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import Response
from tests.api.stand_in import Model, error_of, serving
from tests.stores.response_rows import conversation, items, response

from myna.stores.memory_stores import MemoryStores

THEIRS = "resp_theirs"
CONVERSATION = "conv_theirs"
ITEM = "msg_theirsi"


@asynccontextmanager
async def _beside_another_project() -> AsyncIterator[tuple[Model, MemoryStores]]:
    stores = MemoryStores("memory:")
    row = response("theirs", project="theirs", conversation="theirs")
    stores.conversations().create(conversation("theirs", project="theirs"), items("c"))
    stores.responses().put(row)
    stores.responses().put(response("running", project="theirs", status="in_progress", runner="dead"))
    async with serving(stores=stores) as model:
        yield model, stores


async def _refused(reply: Response) -> None:
    assert reply.status_code in (400, 404), reply.text
    message = error_of(reply)["message"]
    assert "not found" in message or "No conversation" in message, message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"responses/{THEIRS}"),
        ("GET", f"responses/{THEIRS}?stream=true"),
        ("GET", "responses/resp_running?stream=true&starting_after=1"),
        ("GET", f"responses/{THEIRS}/input_items"),
        ("POST", "responses/resp_running/cancel"),
        ("DELETE", f"responses/{THEIRS}"),
        ("GET", f"conversations/{CONVERSATION}"),
        ("GET", f"conversations/{CONVERSATION}/items"),
        ("GET", f"conversations/{CONVERSATION}/items/msg_c"),
        ("DELETE", f"conversations/{CONVERSATION}/items/msg_c"),
        ("DELETE", f"conversations/{CONVERSATION}"),
    ],
)
async def test_it_can_not_be_read_changed_or_deleted(method: str, path: str) -> None:
    async with _beside_another_project() as (model, stores):
        await _refused(await model.client.request(method, f"/v1/{path}"))
        running = stores.responses().get("theirs", "resp_running")
        assert running is not None and running.status == "in_progress", "asking changes nothing either"
        assert stores.responses().get("theirs", THEIRS) is not None
        assert stores.conversations().item("theirs", CONVERSATION, "msg_c") is not None


@pytest.mark.parametrize(
    "body",
    [
        {"input": "x", "previous_response_id": THEIRS},
        {"input": "x", "previous_response_id": "resp_running"},
        {"input": "x", "conversation": CONVERSATION},
        {"input": [{"type": "item_reference", "id": ITEM}]},
        {"input": "x", "previous_response_id": THEIRS, "background": True},
        {"input": "x", "conversation": CONVERSATION, "background": True},
    ],
)
@pytest.mark.parametrize("path", ["responses", "responses/input_tokens", "responses/compact"])
async def test_it_can_not_be_continued(body: dict[str, Any], path: str) -> None:
    if path != "responses":
        body = {name: value for name, value in body.items() if name != "background"}
    if path == "responses/compact" and "conversation" in body:
        return  # it has no conversations
    async with _beside_another_project() as (model, stores):
        await _refused(await model.ask(path, **body))
        assert model.generator.requests == []
        assert stores.conversations().lock("theirs", CONVERSATION, "req_1", "here")


async def test_nothing_can_be_added_to_it() -> None:
    async with _beside_another_project() as (model, stores):
        body: dict[str, Any] = {"items": [{"role": "user", "content": "x"}]}
        await _refused(await model.client.post(f"/v1/conversations/{CONVERSATION}/items", json=body))
        await _refused(await model.client.post(f"/v1/conversations/{CONVERSATION}", json={"metadata": {}}))
        body = {"items": [{"type": "item_reference", "id": ITEM}]}
        assert (await model.client.post("/v1/conversations", json=body)).status_code in (400, 404)
        page = stores.conversations().page("theirs", CONVERSATION, limit=10)
        assert page is not None and len(page.items) == 3
