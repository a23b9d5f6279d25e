"""The official Python client of Anthropic's API, over the application itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from anthropic import (
    APIStatusError,
    AsyncAnthropic,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)
from anthropic.types import TextBlock, ThinkingBlock, ToolUseBlock
from tests.api.messages.test_endings import CALL, said
from tests.api.messages.wire import READ, USER
from tests.api.stand_in import BytePrompting, Model, serving
from tests.http.scripted import KEY

from myna.core.errors import GenerationFailed, Overloaded, RequestsLimited
from myna.core.renderer import Thinking

THINKING = Thinking("<think>", "</think>", can_skip=True, is_default=True, is_open=False)


def anthropic(model: Model) -> AsyncAnthropic:
    """The official client, over the application itself."""
    transport = httpx2.ASGITransport(app=model.asgi)
    http_client = httpx2.AsyncClient(transport=transport)
    return AsyncAnthropic(api_key=KEY, base_url="http://localhost", http_client=http_client, max_retries=0)


async def test_create_returns_a_message() -> None:
    async with serving(said("Hi", stop="END")) as model, anthropic(model) as client:
        message = await client.messages.create(
            model="tiny", max_tokens=9, messages=[USER], stop_sequences=["END"], system="be brief"
        )
    assert message.content == [TextBlock(type="text", text="Hi")]
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert message._request_id is not None
    assert message.usage.input_tokens == 9


async def test_a_stream_is_put_together() -> None:
    script = said("I read.", CALL, thought="hm")
    async with (
        serving(script, prompting=BytePrompting(thinking=THINKING)) as model,
        anthropic(model) as client,
        client.messages.stream(
            model="tiny",
            max_tokens=2000,
            messages=[USER],
            tools=[READ],
            thinking={"type": "enabled", "budget_tokens": 1024},
        ) as stream,
    ):
        texts = [event.text async for event in stream if event.type == "text"]
        message = await stream.get_final_message()
    thought, _, call = message.content
    assert isinstance(thought, ThinkingBlock)
    assert (thought.thinking, bool(thought.signature)) == ("hm", True)
    assert texts == ["I read."]
    assert isinstance(call, ToolUseBlock)
    assert (call.name, call.input) == ("read", {"path": "ä\n", "n": [1, 2.5]})
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens == 5


async def test_an_answer_goes_back_with_its_results() -> None:
    script = said(CALL, thought="hm")
    async with serving(script, said("done"), prompting=BytePrompting(thinking=THINKING)) as model:
        async with anthropic(model) as client:
            first = await client.messages.create(model="tiny", max_tokens=99, messages=[USER], tools=[READ])
            call = next(block for block in first.content if block.type == "tool_use")
            result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "42"}
            messages: Any = [
                USER,
                {"role": "assistant", "content": first.content},
                {"role": "user", "content": [result]},
            ]
            second = await client.messages.create(
                model="tiny",
                max_tokens=99,
                messages=messages,
                tools=[READ],
            )
        assistant = model.prompting.conversations[1][1]
    assert second.stop_reason == "end_turn"
    assert assistant.reasoning == "hm"
    assert assistant.tool_calls[0].arguments == '{"path": "ä\\n", "n": [1, 2.5]}'


async def test_a_call_can_be_sent_back_as_the_client_dumps_it() -> None:
    async with serving(said(CALL), said("Done.")) as model, anthropic(model) as client:
        first = await client.messages.create(model="tiny", max_tokens=9, messages=[USER], tools=[READ])
        (call,) = first.content
        assert isinstance(call, ToolUseBlock)
        result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "42", "toolset_name": None}
        again: Any = [USER, {"role": "assistant", "content": [call.model_dump()]}]
        again.append({"role": "user", "content": [result]})
        second = await client.messages.create(model="tiny", max_tokens=9, messages=again, tools=[READ])
    assert second.content == [TextBlock(text="Done.", type="text")]


async def test_tokens_are_counted_and_models_listed_in_pages() -> None:
    async with serving() as model, anthropic(model) as client:
        counted = await client.messages.count_tokens(model="tiny", messages=[USER])
        page = await client.models.list(limit=2)
        listed = [found.id async for found in client.models.list(limit=1)]
        found = await client.models.retrieve("gpt-4o-mini")
    assert counted.input_tokens == len("<user>hi<assistant>")
    assert (page.first_id, page.last_id, page.has_more) == ("tiny", "gpt-4o-mini", True)
    assert listed == ["tiny", "gpt-4o-mini", "gpt-3.5-turbo-instruct"]
    assert (found.id, found.type, found.display_name) == ("gpt-4o-mini", "model", "gpt-4o-mini")
    assert found.created_at.year == 2023


@contextmanager
def raises(kind: type[APIStatusError], status: int) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.status_code == status
    assert caught.value.request_id


async def test_errors_have_their_classes() -> None:
    refusals = (
        RequestsLimited("slow down", code="rate_limit_exceeded", retry_after_s=3),
        Overloaded("full"),
        GenerationFailed("broken"),
    )
    async with serving(*refusals) as model, anthropic(model) as client:
        with raises(RateLimitError, 429):
            await client.messages.create(model="tiny", max_tokens=9, messages=[USER])
        with raises(InternalServerError, 529):
            await client.messages.create(model="tiny", max_tokens=9, messages=[USER])
        with raises(InternalServerError, 500):
            await client.messages.create(model="tiny", max_tokens=9, messages=[USER])
        with raises(NotFoundError, 404):
            await client.messages.create(model="claude-nope", max_tokens=9, messages=[USER])
        with raises(NotFoundError, 404):
            await client.models.retrieve("claude-nope")
        with raises(BadRequestError, 400):
            await client.messages.create(model="tiny", max_tokens=0, messages=[USER])
        with raises(AuthenticationError, 401):
            await client.with_options(api_key="sk-ant-wrong").models.list()
