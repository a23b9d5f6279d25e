"""`store: true`: what was answered is what is kept, streamed or whole, and nothing else is kept."""

import asyncio
import json
import threading
from typing import Any

import pytest
from tests.api.stand_in import chunks_of, error_of, script, serving
from tests.http.scripted import Step, words

from myna.api.chat.storing import MAX_STORED_REQUEST_BYTES
from myna.core.errors import DatabaseUnavailable, GenerationFailed
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta
from myna.core.stored import StoredCompletion
from myna.stores.memory import MemoryCompletions
from myna.stores.store_quota import ProjectQuota
from myna.stores.store_writer import WriterLimits

ASK = [
    {"role": "system", "content": "be kind"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "你"}, {"type": "text", "text": "好"}],
        "name": "Li",
    },
]
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now", "description": "the time"}}
CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


@pytest.mark.parametrize("stream", [False, True])
async def test_the_kept_item_has_the_services_own_shape(stream: bool) -> None:
    async with serving(words("Hi", " there")) as model:
        answer = await model.ask(
            "chat/completions",
            messages=ASK,
            store=True,
            stream=stream,
            metadata={"city": "北京"},
            user="u",
            top_p=0.5,
        )
        completion_id = chunks_of(answer)[0]["id"] if stream else answer.json()["id"]
        item = (await model.client.get(f"/v1/chat/completions/{completion_id}")).json()
        messages = (await model.client.get(f"/v1/chat/completions/{completion_id}/messages")).json()
    assert list(item) == [
        *(
            "object",
            "id",
            "model",
            "created",
            "request_id",
            "tool_choice",
            "usage",
            "seed",
            "top_p",
            "temperature",
        ),
        *(
            "presence_penalty",
            "frequency_penalty",
            "system_fingerprint",
            "input_user",
            "service_tier",
            "tools",
        ),
        *("metadata", "choices", "response_format"),
    ]
    assert item["choices"] == [
        {
            "index": 0,
            "message": {
                "content": "Hi there",
                "role": "assistant",
                "tool_calls": None,
                "function_call": None,
            },
            "finish_reason": "stop",
            "logprobs": None,
        }
    ]
    assert item["metadata"] == {"city": "北京"}
    assert item["request_id"] == answer.headers["x-request-id"]
    assert (item["input_user"], item["top_p"], item["temperature"]) == ("u", 0.5, 1.0)
    assert list(item["usage"]) == ["total_tokens", "completion_tokens", "prompt_tokens"]
    assert isinstance(item["seed"], int)
    assert [(message["role"], message["content"], message["name"]) for message in messages["data"]] == [
        ("system", "be kind", None),
        ("user", "你好", "Li"),
    ]
    assert messages["data"][1]["content_parts"][0] == {
        "type": "text",
        "text": "你",
        "image_url": None,
        "input_audio": None,
        "file": None,
    }


async def test_a_streamed_call_is_kept_with_the_id_that_was_streamed() -> None:
    events = script(PromptDone(3, 0), TextDelta(0, CALL, 9), ChoiceDone(0, "stop", 1, 10), Done(10))
    async with serving(events) as model:
        answer = await model.ask("chat/completions", messages=ASK, tools=[NOW], store=True, stream=True)
        chunks = chunks_of(answer)
        item = (await model.client.get(f"/v1/chat/completions/{chunks[0]['id']}")).json()
    [streamed] = [
        call["id"]
        for chunk in chunks
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls", ())
        if "id" in call
    ]
    assert item["choices"][0]["message"]["tool_calls"] == [
        {"type": "function", "function": {"name": "now", "arguments": "{}"}, "id": streamed}
    ]
    assert item["tools"] == [
        {"type": "function", "function": {"parameters": None, "description": "the time", "name": "now"}}
    ]


@pytest.mark.parametrize("body", [{}, {"store": False}, {"store": None, "metadata": {"a": "b"}}])
async def test_nothing_is_kept_unasked(body: dict[str, Any]) -> None:
    async with serving(words("Hi")) as model:
        assert (await model.ask("chat/completions", messages=ASK, **body)).status_code == 200
        assert (await model.client.get("/v1/chat/completions")).json()["data"] == []


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_broke_off_is_not_kept(stream: bool) -> None:
    broken: list[Step] = [PromptDone(3, 0), TextDelta(0, "Hi", 1), GenerationFailed("the engine failed")]
    async with serving(broken) as model:
        answer = await model.ask("chat/completions", messages=ASK, store=True, stream=stream)
        assert "error" in answer.text
        assert (await model.client.get("/v1/chat/completions")).json()["data"] == []


async def test_the_replay_is_the_request_with_the_seed_that_was_drawn() -> None:
    async with serving(words("Hi")) as model:
        answer = await model.ask("chat/completions", messages=ASK, store=True, max_tokens=9, temperature=1)
        [request] = model.generator.requests
        row = model.completions.get("default", answer.json()["id"])
    assert row is not None
    replay = json.loads(row.replay)
    assert replay == {
        "model": "tiny",
        "messages": ASK,
        "max_tokens": 9,
        "temperature": 1,
        "seed": request.sampling.seed,
    }


class Away(MemoryCompletions):
    """Can't be written: fails at once, or takes until it is let go."""

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__()
        self._fault = fault
        self.go = threading.Event()

    def put(self, completion: StoredCompletion) -> None:
        if self._fault is not None:
            raise self._fault
        assert self.go.wait(60)
        super().put(completion)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [DatabaseUnavailable("away"), ValueError("a bug")])
async def test_an_answer_is_whole_though_its_copy_can_not_be_kept(fault: Exception, stream: bool) -> None:
    async with serving(words("Hi", " there"), completions=Away(fault)) as model:
        answer = await model.ask("chat/completions", messages=ASK, store=True, stream=stream)
    assert answer.status_code == 200
    assert " there" in answer.text
    assert "error" not in answer.text
    assert "data: [DONE]" in answer.text or not stream


async def test_a_database_that_hangs_keeps_no_request_waiting_for_a_thread() -> None:
    """As with a file that another program locks: those that store are more than there are threads."""
    store = Away()
    limits = WriterLimits(wait_s=0.01)
    async with serving(completions=store, writer_limits=limits) as model:
        answers = await asyncio.gather(
            *(model.ask("chat/completions", messages=ASK, store=number < 4) for number in range(5))
        )
        assert [answer.status_code for answer in answers] == [200] * 5
        assert model.services.store_writer.num_waiting == 4
        listing = asyncio.create_task(model.client.get("/v1/chat/completions"))  # waits for the database
        assert (await model.ask("chat/completions", messages=ASK)).status_code == 200
        assert (await model.ask("completions", prompt="a")).status_code == 200
        assert not listing.done()
        store.go.set()
        await listing
        await model.services.store_writer.aclose()
        assert len((await model.client.get("/v1/chat/completions")).json()["data"]) == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_that_is_too_large_to_be_stored_is_refused_and_served_without(stream: bool) -> None:
    """Of the fields that no context bounds, predictions alone can be that long."""
    prediction = {"type": "content", "content": "x" * MAX_STORED_REQUEST_BYTES}
    async with serving() as model:
        body = {"messages": ASK, "stream": stream, "prediction": prediction}
        refused = await model.ask("chat/completions", store=True, **body)
        assert refused.status_code == 400
        error = error_of(refused)
        assert (error["param"], error["code"]) == ("store", "request_too_large_to_store")
        assert str(MAX_STORED_REQUEST_BYTES) in error["message"]
        assert model.generator.requests == []
        assert (await model.ask("chat/completions", **body)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_used_up_quota_costs_the_copy_and_not_the_answer(stream: bool) -> None:
    limits = WriterLimits(quota=ProjectQuota(max_rows=1))
    async with serving(words("Hi"), words("Hi"), writer_limits=limits) as model:
        replies = [
            await model.ask("chat/completions", messages=ASK, store=True, stream=stream) for _ in range(2)
        ]
        kept = (await model.client.get("/v1/chat/completions")).json()["data"]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert len(kept) == 1
    assert "x-myna-hint" not in replies[0].headers
    assert "max_stored" in replies[1].headers["x-myna-hint"]
