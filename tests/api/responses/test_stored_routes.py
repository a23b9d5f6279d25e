"""Stored responses: what was answered can be retrieved, continued, followed, listed and deleted, by its owner
alone, on every store."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.responses.reading import events_of, followed
from tests.api.stand_in import Model, error_of, serving
from tests.http.scripted import words
from tests.stores.conftest import url

from myna.core.conversation import Message
from myna.core.errors import DatabaseUnavailable
from myna.core.stored_responses import StoredResponse
from myna.stores.registry import Stores, open_stores
from myna.stores.responses_memory import MemoryResponses
from myna.stores.store_quota import ProjectQuota
from myna.stores.store_writer import WriterLimits

__all__ = ["url"]


@pytest.fixture
def stores(url: str) -> Iterator[Stores]:
    opened = open_stores(url)
    yield opened
    opened.responses().close()


async def _created(model: Model, text: str = "Hello", **body: Any) -> dict[str, Any]:
    reply = await model.ask("responses", input=text, **body)
    assert reply.status_code == 200, reply.text
    created: dict[str, Any] = reply.json()
    return created


def _texts(messages: Sequence[Message]) -> list[str]:
    return [f"{message.role}: {message.text}" for message in messages]


async def test_a_stored_response_is_the_answer_byte_for_byte(stores: Stores) -> None:
    async with serving(words("Hi", " there"), stores=stores) as model:
        answer = await model.ask("responses", input="Hello", metadata={"a": "b"}, temperature=1)
        stored = await model.client.get(
            f"/v1/responses/{answer.json()['id']}?include[]=reasoning.encrypted_content"
        )
    assert stored.status_code == 200
    assert stored.content == answer.content
    assert stored.headers["content-type"] == "application/json"


async def test_a_streamed_response_can_be_retrieved_when_its_end_is_seen(stores: Stores) -> None:
    async with serving(words("Hi", " there"), stores=stores) as model:
        final = followed(events_of((await model.ask("responses", input="Hello", stream=True)).text))
        assert (await model.client.get(f"/v1/responses/{final['id']}")).json() == final


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_to_be_stored_is_not(stream: bool) -> None:
    async with serving(words("Hi"), words("Hi")) as model:
        reply = await model.ask("responses", input="Hello", store=False, stream=stream)
        response = followed(events_of(reply.text)) if stream else reply.json()
        gone = await model.client.get(f"/v1/responses/{response['id']}")
        assert (gone.status_code, error_of(gone)) == (
            404,
            {
                "message": f"Response with id '{response['id']}' not found.",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            },
        )
        refused = await model.ask("responses", input="And?", previous_response_id=response["id"])
        assert (refused.status_code, error_of(refused)) == (
            400,
            {
                "message": f"Previous response with id '{response['id']}' not found.",
                "type": "invalid_request_error",
                "param": "previous_response_id",
                "code": "previous_response_not_found",
            },
        )


async def test_a_chain_continues_items_but_neither_instructions_nor_tools(stores: Stores) -> None:
    async with serving(*[words("Hi") for _ in range(4)], stores=stores) as model:
        first = await _created(model, "One", instructions="Be short.")
        second = await _created(model, "Two", previous_response_id=first["id"])
        await _created(model, "Branch", previous_response_id=first["id"])
        assert _texts(model.prompting.conversations[-1]) == ["user: One", "assistant: Hi", "user: Branch"]
        await _created(model, "Three", previous_response_id=second["id"])
        assert _texts(model.prompting.conversations[-1]) == [
            "user: One", "assistant: Hi", "user: Two", "assistant: Hi", "user: Three",
        ]  # fmt: skip
        assert second["id"][5:21] == first["id"][5:21], "one root for a chain"


async def test_an_empty_input_continues_a_response() -> None:
    async with serving(words("Hi"), words("Hi")) as model:
        first = await _created(model)
        await _created(model, [], previous_response_id=first["id"])  # type: ignore[arg-type]
        assert _texts(model.prompting.conversations[-1]) == ["user: Hello", "assistant: Hi"]


async def test_references_are_replaced_by_stored_items() -> None:
    async with serving(words("Hi"), words("Hi")) as model:
        first = await _created(model)
        item_id = first["output"][0]["id"]
        given = [{"type": "item_reference", "id": item_id}, {"role": "user", "content": "And?"}]
        second = await model.ask("responses", input=given)
        assert _texts(model.prompting.conversations[-1]) == ["assistant: Hi", "user: And?"]
        listed = await model.client.get(f"/v1/responses/{second.json()['id']}/input_items?order=asc")
        assert listed.json()["first_id"] == item_id


@pytest.mark.parametrize(
    ("item_id", "text"),
    [
        ("rs_abc", "Item with id 'rs_abc' not found."),
        (
            f"rs_{'0' * 50}",
            f"Item with id 'rs_{'0' * 50}' not found. Items are not persisted when `store` is set to false. "
            "Try again with `store` set to true, or remove this item from your input.",
        ),
    ],
)
async def test_a_reference_to_nothing_is_refused(item_id: str, text: str) -> None:
    async with serving() as model:
        refused = await model.ask("responses", input=[{"id": item_id}])
    assert (refused.status_code, error_of(refused)["message"]) == (404, text)
    assert model.generator.requests == []


async def test_input_items_are_the_whole_context_newest_first(stores: Stores) -> None:
    async with serving(words("Hi"), words("Ho"), stores=stores) as model:
        first = await _created(model, "One", instructions="Be short.")
        second = await _created(model, "Two", previous_response_id=first["id"])
        page = (await model.client.get(f"/v1/responses/{second['id']}/input_items")).json()
    assert list(page) == ["object", "data", "first_id", "has_more", "last_id"]
    assert [item["content"][0] for item in page["data"]] == [
        {"type": "input_text", "text": "Two"},
        {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hi"},
        {"type": "input_text", "text": "One"},
    ]
    assert all(list(item) == ["id", "type", "status", "content", "role"] for item in page["data"])
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])


@given(num_items=st.integers(1, 9), limit=st.integers(1, 4), order=st.sampled_from(["asc", "desc", ""]))
async def test_pages_of_input_items_follow_each_other(num_items: int, limit: int, order: str) -> None:
    given = [{"role": "user", "content": str(number)} for number in range(num_items)]
    async with serving(words("Hi")) as model:
        created = (await model.ask("responses", input=given)).json()
        seen, query = list[str](), f"limit={limit}" + (f"&order={order}" if order else "")
        after = ""
        while True:
            page = (
                await model.client.get(f"/v1/responses/{created['id']}/input_items?{query}{after}")
            ).json()
            seen += [item["content"][0]["text"] for item in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
    expected = [str(number) for number in range(num_items)]
    assert seen == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("/input_items?limit=0", 400, "limit"),
        ("/input_items?limit=101", 400, "limit"),
        ("/input_items?limit=x", 400, "limit"),
        ("/input_items?order=up", 400, "order"),
        ("/input_items?after=msg_nobody", 404, None),
        ("?stream=yes", 400, "stream"),
        ("?stream=true&starting_after=-1", 400, "starting_after"),
        ("?stream=true&starting_after=x", 400, "starting_after"),
    ],
)
async def test_wrong_queries_are_refused(query: str, status: int, param: str | None) -> None:
    async with serving() as model:
        created = await _created(model)
        refused = await model.client.get(f"/v1/responses/{created['id']}{query}")
    assert (refused.status_code, error_of(refused)["param"]) == (status, param)


async def test_deleted_is_gone_and_what_continues_it_is_not(stores: Stores) -> None:
    async with serving(*[words("Hi") for _ in range(3)], stores=stores) as model:
        first = await _created(model, "One")
        second = await _created(model, "Two", previous_response_id=first["id"])
        path = f"/v1/responses/{first['id']}"
        deleted = await model.client.request("DELETE", path, headers={"content-type": "application/json"})
        assert deleted.json() == {"id": first["id"], "object": "response.deleted", "deleted": True}
        for method in ("DELETE", "GET"):
            assert (await model.client.request(method, path)).status_code == 404
        assert (await model.client.get(f"{path}/input_items")).status_code == 404
        await _created(model, "Three", previous_response_id=second["id"])
        assert _texts(model.prompting.conversations[-1])[0] == "user: One"


@pytest.mark.parametrize("how", ["whole", "stream", "background"])
async def test_what_continues_it_may_still_be_generated(stores: Stores, how: str) -> None:
    go, steps = asyncio.Event(), words("Two")
    script = [*steps[:-2], go, *steps[-2:]]
    async with serving(words("One"), script, words("Three"), stores=stores) as model:
        first = await _created(model, "a")
        asked = {"input": "b", "previous_response_id": first["id"]}
        model.generator.is_asked.clear()
        asking = asyncio.create_task(
            model.ask("responses", **asked, **({} if how == "whole" else {how: True}))
        )
        await model.generator.is_asked.wait()
        assert (await model.client.delete(f"/v1/responses/{first['id']}")).status_code == 200
        go.set()
        reply = await asking
        second = followed(events_of(reply.text)) if how == "stream" else reply.json()
        if (run := model.services.background_runs.get(second["id"])) is not None and run.task is not None:
            await asyncio.wait([run.task])
        assert second["previous_response_id"] == first["id"]
        await _created(model, "c", previous_response_id=second["id"])
        assert _texts(model.prompting.conversations[-1]) == [
            "user: a", "assistant: One", "user: b", "assistant: Two", "user: c",
        ]  # fmt: skip


async def test_only_background_responses_can_be_cancelled() -> None:
    async with serving() as model:
        created = await _created(model)
        refused = await model.client.post(f"/v1/responses/{created['id']}/cancel")
        assert (refused.status_code, error_of(refused)["message"]) == (
            400,
            "Cannot cancel a synchronous response.",
        )
        assert (await model.client.post("/v1/responses/resp_nobody/cancel")).status_code == 404


async def test_a_finished_response_can_be_followed_from_any_event() -> None:
    async with serving(words("Hi", " there")) as model:
        created = await _created(model)
        path = f"/v1/responses/{created['id']}?stream=true"
        events = events_of((await model.client.get(path)).text)
        assert followed(events) == created
        for number in range(len(events)):
            rest = (await model.client.get(f"{path}&starting_after={number}")).text
            expected = events[number + 1 :] or [{**events[-1], "sequence_number": number + 1}]
            assert [event["sequence_number"] for event in _data(rest)] == [
                event["sequence_number"] for event in expected
            ]
        late = _data((await model.client.get(f"{path}&starting_after=1000")).text)
        assert [(event["type"], event["sequence_number"]) for event in late] == [("response.completed", 1001)]


async def test_no_number_is_too_large_to_follow_from(tmp_path: Path) -> None:
    stores = open_stores(f"sqlite:///{tmp_path}/myna.db")
    async with serving(words("Hi"), stores=stores) as model:
        path = f"/v1/responses/{(await _created(model))['id']}?stream=true"
        rest = await model.client.get(f"{path}&starting_after={2**63 - 1}")
        assert [event["type"] for event in _data(rest.text)] == ["response.completed"]
    stores.responses().close()


def _data(stream: str) -> list[dict[str, Any]]:
    return [json.loads(block.split("data: ")[1]) for block in stream.split("\n\n")[:-1]]


class Away(MemoryResponses):
    """Can't be written."""

    def put(self, response: StoredResponse) -> None:
        raise DatabaseUnavailable("away")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_whole_though_it_can_not_be_stored(stream: bool) -> None:
    async with serving(words("Hi", " there"), responses=Away()) as model:
        reply = await model.ask("responses", input="Hello", stream=stream)
    response = followed(events_of(reply.text)) if stream else reply.json()
    assert response["status"] == "completed"


async def test_a_used_up_quota_costs_the_copy_and_not_the_answer() -> None:
    limits = WriterLimits(quota=ProjectQuota(max_rows=1))
    async with serving(words("Hi"), words("Hi"), writer_limits=limits) as model:
        first, second = [await model.ask("responses", input="Hello") for _ in range(2)]
        assert "x-myna-hint" not in first.headers
        assert "max_stored" in second.headers["x-myna-hint"]
        found = [await model.client.get(f"/v1/responses/{one.json()['id']}") for one in (first, second)]
    assert [one.status_code for one in found] == [200, 404]
