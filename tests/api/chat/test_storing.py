"""`store: true`: what was answered is what is kept, streamed or whole, and nothing else is kept."""

import json
from typing import Any

import pytest
from tests.api.stand_in import chunks_of, script, serving
from tests.serving.scripted import Step, words

from myna.core.errors import GenerationFailed
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta

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
