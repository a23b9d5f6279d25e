"""Answers with very many log-probabilities hold up nobody, whole, streamed and stored."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message
from tests.api.loop_watch import unblocked_loop
from tests.api.responses.reading import events_of
from tests.api.stand_in import Model, parsed_chunks, serving
from tests.http.scripted import KEY, Step

from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta, TokenLogprob
from myna.stores.store_writer import WriterLimits

NUM_CHOICES, NUM_TOKENS = 4, 768
LEGACY_CHOICES = 16  # they are rendered faster
TOP = tuple((token, -1.0 - token, b"token %d" % token) for token in range(20))
ENTRIES = tuple(TokenLogprob(token, -0.5, b"x", TOP) for token in range(NUM_TOKENS))


def large(num_choices: int = NUM_CHOICES) -> list[Step]:
    """The events of a reader that was slow, or of a whole answer: each choice's are one."""
    steps: list[Step] = [PromptDone(3, 0)]
    steps += [TextDelta(index, "x" * NUM_TOKENS, NUM_TOKENS, ENTRIES) for index in range(num_choices)]
    steps += [ChoiceDone(index, "stop", 0, NUM_TOKENS) for index in range(num_choices)]
    return [*steps, Done(NUM_TOKENS * num_choices)]


CHAT = {
    "messages": [{"role": "user", "content": "hi"}],
    "n": NUM_CHOICES,
    "logprobs": True,
    "top_logprobs": 20,
}


async def ask(model: Model, path: str, **body: Any) -> str:
    """The answer's body. Fails if the loop was blocked meanwhile."""
    async with unblocked_loop():
        pieces = await model.ask_raw(path, **body)
    return b"".join(pieces).decode()


@pytest.mark.parametrize("store", [False, True])
async def test_a_large_whole_answer_does_not_hold_the_loop(store: bool) -> None:
    async with serving(large()) as model:
        answer = await ask(model, "chat/completions", **CHAT, store=store)
        rows = model.completions.page("default")
    choices = json.loads(answer)["choices"]
    assert [len(choice["logprobs"]["content"]) for choice in choices] == [NUM_TOKENS] * NUM_CHOICES
    assert rows is not None
    assert len(rows.rows) == store


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("tools", [None, [{"type": "function", "function": {"name": "now"}}]])
async def test_a_large_delta_does_not_hold_the_loop(store: bool, tools: Sequence[Any] | None) -> None:
    async with serving(large()) as model:
        answer = await ask(model, "chat/completions", **CHAT, stream=True, store=store, tools=tools)
    chunks = parsed_chunks(answer)
    for index in range(NUM_CHOICES):
        mine = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        entries = [entry for one in mine if one["logprobs"] for entry in one["logprobs"]["content"]]
        assert len(entries) == NUM_TOKENS
        assert "".join(one["delta"].get("content", "") for one in mine) == "x" * NUM_TOKENS


@pytest.mark.parametrize("stream", [False, True])
async def test_a_large_legacy_answer_does_not_hold_the_loop(stream: bool) -> None:
    async with serving(large(LEGACY_CHOICES)) as model:
        answer = await ask(model, "completions", prompt="hi", n=LEGACY_CHOICES, logprobs=5, stream=stream)
    bodies = parsed_chunks(answer) if stream else [json.loads(answer)]
    choices = [choice for body in bodies for choice in body["choices"]]
    num_tokens = sum(len(choice["logprobs"]["tokens"]) for choice in choices)
    assert num_tokens == NUM_TOKENS * LEGACY_CHOICES


@pytest.mark.parametrize("stream", [False, True])
async def test_a_large_echoed_prompt_does_not_hold_the_loop(stream: bool) -> None:
    steps: list[Step] = [PromptDone(NUM_TOKENS, 0, ENTRIES)]
    steps += [ChoiceDone(index, "length", 0, 0) for index in range(LEGACY_CHOICES)]
    prompt = "x" * NUM_TOKENS
    async with serving([*steps, Done(0)]) as model:
        body = {"prompt": prompt, "echo": True, "max_tokens": 0, "n": LEGACY_CHOICES, "logprobs": 5}
        answer = await ask(model, "completions", **body, stream=stream)
    bodies = parsed_chunks(answer) if stream else [json.loads(answer)]
    for index in range(LEGACY_CHOICES):
        mine = [choice for body in bodies for choice in body["choices"] if choice["index"] == index]
        assert "".join(choice["text"] for choice in mine) == prompt
        offsets = [offset for choice in mine for offset in choice["logprobs"]["text_offset"]]
        assert offsets == list(range(NUM_TOKENS))


DESCRIPTION = "a line\n" * (1 << 17)
LONG_TOOLS = [{"type": "function", "name": f"f{n}", "description": DESCRIPTION} for n in range(12)]


@pytest.mark.parametrize("body", [{}, {"stream": True}, {"stream": True, "background": True}])
async def test_a_response_that_repeats_a_long_request_does_not_hold_the_loop(body: dict[str, bool]) -> None:
    async with serving() as model:
        answer = await ask(model, "responses", input="Hi", tools=LONG_TOOLS, **body)
        if body:
            events = events_of(answer)
            shown = [event["response"] for event in events if "response" in event]
        else:
            shown = [json.loads(answer)]
        stored = await model.client.get(f"/v1/responses/{shown[-1]['id']}")
    assert len(shown) == 1 + len(body) + bool(body)
    assert stored.json() == shown[-1]
    assert shown[-1]["status"] == "completed"
    for response in shown:
        assert [tool["description"] for tool in response["tools"]] == [DESCRIPTION] * len(LONG_TOOLS)


async def test_an_answer_that_is_too_large_for_the_store_is_sent_all_the_same() -> None:
    async with serving(large(), writer_limits=WriterLimits(max_row_bytes=1 << 20)) as model:
        answer = await ask(model, "chat/completions", **CHAT, store=True)
        assert model.services.store_writer.num_dropped == 1
        rows = model.completions.page("default")
    assert len(json.loads(answer)["choices"]) == NUM_CHOICES
    assert rows is not None
    assert rows.rows == []


async def test_an_answer_that_nobody_reads_counts_as_held() -> None:
    async with serving(large()) as model:
        is_stuck, go_on = asyncio.Event(), asyncio.Event()
        body = json.dumps({"model": "tiny", **CHAT}).encode()
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if not waiting:
                await asyncio.Event().wait()
            return waiting.pop()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                is_stuck.set()
                await go_on.wait()

        headers = {"host": "localhost", "authorization": f"Bearer {KEY}", "content-type": "application/json"}
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        asking = asyncio.ensure_future(model.asgi(scope, receive, send))
        await is_stuck.wait()
        status = (await model.client.get("/v1/organization/status")).json()
        assert status["num_requests"] == 1
        assert status["unread_answers"]["num_answers"] == 1
        assert status["unread_answers"]["num_bytes"] > NUM_TOKENS * NUM_CHOICES * 2000
        go_on.set()
        await asking
        assert len(model.services.unread_answers) == 0
