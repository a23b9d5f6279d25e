"""`POST /v1/messages`: what requests become, over a scripted model."""

from typing import Any

import pytest
from tests.api.messages.test_endings import said
from tests.api.messages.wire import CALL, READ, RESULT, USER, accumulated, ask, error_of, events_of
from tests.api.stand_in import BytePrompting, serving
from tests.http.scripted import KEY, words

from myna.api.messages.signatures import seal, sign
from myna.core.constraints import JsonSchema, ToolCalls
from myna.core.conversation import Message, TextPart, ToolCall
from myna.core.errors import Overloaded
from myna.core.renderer import Thinking

THINKING = Thinking("<think>", "</think>", can_skip=True, is_default=True, is_open=False)


def texts(*parts: str) -> tuple[TextPart, ...]:
    return tuple(map(TextPart, parts))


def block(text: str, **keys: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **keys}


async def test_blocks_become_a_conversation() -> None:
    failed = {**RESULT, "tool_use_id": "toolu_2", "content": [block("no "), block("file")], "is_error": True}
    document = {
        "type": "document",
        "title": "T",
        "source": {"type": "text", "media_type": "text/plain", "data": "D"},
    }
    async with serving() as model:
        response = await ask(
            model,
            system=[
                block("x-anthropic-billing-header: cc_version=1; cch=8f3;"),
                block("be brief", cache_control={"type": "ephemeral"}),
                block("be kind"),
            ],
            messages=[
                {"role": "user", "content": "你好"},
                {"role": "system", "content": "a reminder"},
                {"role": "user", "content": [block("a"), block("b"), document]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "x"},
                        {"type": "redacted_thinking", "data": "…"},
                        block("I read."),
                        CALL,
                    ],
                },
                {"role": "assistant", "content": [{**CALL, "id": "toolu_2", "caller": {"type": "direct"}}]},
                {"role": "user", "content": [RESULT, block("go on")]},
                {"role": "user", "content": [failed]},
            ],
        )
        [conversation] = model.prompting.conversations
    assert response.status_code == 200
    arguments = '{"path": "a", "n": 1}'
    assert list(conversation) == [
        Message("system", texts("be brief", "be kind")),
        Message("user", texts("你好")),
        Message("system", texts("a reminder")),
        Message("user", texts("a", "b", "T\nD")),
        Message(
            "assistant",
            texts("I read."),
            tool_calls=(ToolCall("toolu_1", "read", arguments), ToolCall("toolu_2", "read", arguments)),
            reasoning="hm",
        ),
        Message("tool", texts("42"), tool_call_id="toolu_1"),
        Message("tool", texts("Error: no \nfile"), tool_call_id="toolu_2"),
        Message("user", texts("go on")),
    ]


async def test_a_new_session_begins_as_the_last_one_though_instructions_follow_the_question() -> None:
    """As Claude Code sends them. The order stays when the conversation goes on."""

    def asked(question: str) -> list[dict[str, Any]]:
        reminder = {"role": "system", "content": "the agents are"}
        return [{"role": "user", "content": question}, reminder]

    answered = [{"role": "assistant", "content": "it is."}, {"role": "user", "content": "Why?"}]
    later = [{"role": "system", "content": "be quick"}]
    async with serving() as model:
        for messages in (asked("One?"), asked("Two?"), [*asked("Two?"), *answered, *later]):
            assert (await ask(model, system="be brief", messages=messages)).status_code == 200
        first, second, third = model.prompting.conversations
    begin = [Message("system", texts("be brief")), Message("system", texts("the agents are"))]
    assert list(first) == [*begin, Message("user", texts("One?"))]
    assert list(second) == [*begin, Message("user", texts("Two?"))]
    assert list(third) == [
        *second,
        Message("assistant", texts("it is.")),
        Message("user", texts("Why?")),
        Message("system", texts("be quick")),
    ]


async def test_parameters_reach_the_generation() -> None:
    async with serving() as model:
        response = await ask(
            model,
            max_tokens=7,
            temperature=1.5,
            top_p=0.5,
            top_k=3,
            stop_sequences=["END", "STOP"],
            metadata={"user_id": "u"},
            service_tier="auto",
            container="c",
            inference_geo="eu",
            context_management={"edits": []},
            mcp_servers=[],
            speed="standard",
            cache_control={"type": "ephemeral"},
        )
        [request] = model.generator.requests
        [row] = model.ledger.rows
    assert response.status_code == 200
    assert request.max_tokens == 7
    assert request.stop == ("END", "STOP")
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (1.5, 0.5, 3)
    assert (row.endpoint, row.prompt_tokens, row.cached_tokens) == ("messages", 3, 1)
    assert "x-myna-ignored" not in response.headers
    assert response.json()["usage"] == {
        "input_tokens": 0,
        "cache_creation_input_tokens": 2,
        "cache_read_input_tokens": 1,
        "output_tokens": 2,
    }


@pytest.mark.parametrize(
    ("choice", "is_required", "is_parallel", "is_single"),
    [
        (None, False, True, False),
        ({"type": "auto"}, False, True, False),
        ({"type": "auto", "disable_parallel_tool_use": True}, False, False, False),
        ({"type": "any"}, True, True, False),
        ({"type": "tool", "name": "write"}, True, False, True),
    ],
)
async def test_a_tool_choice_is_enforced(
    choice: dict[str, Any] | None, is_required: bool, is_parallel: bool, is_single: bool
) -> None:
    tools = [READ, {**READ, "name": "write", "type": "custom"}]
    async with serving() as model:
        response = await ask(model, tools=tools, **({"tool_choice": choice} if choice else {}))
        [request] = model.generator.requests
    assert response.status_code == 200
    constraint = request.constraint
    assert isinstance(constraint, ToolCalls)
    assert (constraint.is_required, constraint.is_parallel) == (is_required, is_parallel)
    assert [tool.name for tool in constraint.tools] == (["write"] if is_single else ["read", "write"])


async def test_no_tool_is_called_with_the_choice_none() -> None:
    async with serving() as model:
        assert (await ask(model, tools=[READ], tool_choice={"type": "none"})).status_code == 200
        assert not isinstance(model.generator.requests[0].constraint, ToolCalls)
        assert len(model.prompting.tools[0]) == 1


async def test_a_format_is_a_constraint_and_a_hint_says_what_is_not_enforced() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}}
    async with serving() as model:
        form = {"format": {"type": "json_schema", "schema": schema}}
        response = await ask(model, output_config=form)
        constraint = model.generator.requests[0].constraint
    assert response.status_code == 200
    assert isinstance(constraint, JsonSchema)


@pytest.mark.parametrize(
    ("asked", "switches_on", "limit"),
    [
        ({}, False, None),
        ({"thinking": {"type": "disabled"}}, False, None),
        ({"thinking": {"type": "adaptive"}}, True, 0),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, True, 2000),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, True, 1024),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
            True,
            0,
        ),
        ({"output_config": {"effort": "high"}}, False, None),
    ],
)
async def test_thinking_is_switched_and_limited(
    asked: dict[str, Any], switches_on: bool, limit: int | None
) -> None:
    async with serving(prompting=BytePrompting(thinking=THINKING)) as model:
        assert (await ask(model, max_tokens=3000, **asked)).status_code == 200
        [request], [switches] = model.generator.requests, model.prompting.switches
    assert (request.thought is not None) == switches_on
    assert switches.get("enable_thinking", True) == switches_on
    if request.thought is not None:
        assert request.thought.max_tokens == limit


async def test_a_last_message_of_the_assistant_is_continued() -> None:
    messages = [USER, {"role": "assistant", "content": "The answer is <b"}]
    async with serving(prompting=BytePrompting(thinking=THINKING)) as model:
        response = await ask(model, messages=messages, thinking={"type": "adaptive"})
        [request] = model.generator.requests
    assert response.status_code == 200
    assert bytes(request.prompt_tokens).decode() == "<user>hi<assistant>The answer is <b"
    assert request.thought is None


async def test_a_model_that_must_think_first_continues_nothing() -> None:
    must = Thinking("<think>", "</think>", can_skip=False, is_default=True, is_open=True)
    async with serving(prompting=BytePrompting(thinking=must)) as model:
        response = await ask(model, messages=[USER, {"role": "assistant", "content": "The"}])
    assert response.status_code == 400
    assert "can't continue an answer" in error_of(response)["message"]


async def test_a_changed_thought_is_used_and_a_hint_says_so() -> None:
    thoughts = [
        {"type": "thinking", "thinking": "hm", "signature": sign("ha")},
        {"type": "thinking", "thinking": "", "signature": seal("hidden")},
    ]
    async with serving() as model:
        messages = [USER, {"role": "assistant", "content": [*thoughts, block("a")]}, USER]
        response = await ask(model, messages=messages)
        assert model.prompting.conversations[0][1].reasoning == "hm\nhidden"
    assert "was changed" in response.headers["x-myna-hint"]


async def test_the_answer_ends_with_the_context_or_the_limit() -> None:
    async with serving(said("a", reason="length"), said("a", reason="length")) as model:
        cut = await ask(model, max_tokens=8000)
        limited = await ask(model, max_tokens=5)
    assert cut.json()["stop_reason"] == "model_context_window_exceeded"
    assert limited.json()["stop_reason"] == "max_tokens"


async def test_either_header_has_the_key() -> None:
    async with serving() as model:
        for headers in (
            {"authorization": "", "x-api-key": KEY},
            {"authorization": f"Bearer {KEY}", "x-api-key": "sk-ant-of-another"},
            {"authorization": "Bearer of-another", "x-api-key": KEY},
        ):
            response = await model.client.post(
                "/v1/messages",
                headers=headers,
                json={"model": "tiny", "max_tokens": 4, "messages": [USER]},
            )
            assert response.status_code == 200, headers


async def test_headers_and_queries_of_claude_code_are_accepted() -> None:
    async with serving(words("a")) as model:
        response = await model.client.post(
            "/v1/messages?beta=true",
            headers={
                "anthropic-version": "2023-06-01",
                "anthropic-beta": "claude-code-20250219,x",
                "x-app": "cli",
            },
            json={"model": "tiny", "max_tokens": 4, "messages": [USER], "stream": True},
        )
        root = await model.client.head("/")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["request-id"].startswith("req_")
    assert not [name for name in response.headers if name.startswith(("openai-", "x-request-id"))]
    assert accumulated(events_of(response.text))["content"] == [block("a")]
    assert "[DONE]" not in response.text
    assert root.status_code == 200


async def test_tokens_are_counted_without_a_generation() -> None:
    body = {"model": "tiny", "messages": [USER], "system": "be brief", "tools": [READ]}
    async with serving() as model:
        response = await model.client.post("/v1/messages/count_tokens", json=body)
        await ask(model, system="be brief", tools=[READ])
        [request] = model.generator.requests
    assert response.status_code == 200
    assert response.text == f'{{"input_tokens":{len(request.prompt_tokens)}}}'


async def test_a_full_queue_is_overloaded() -> None:
    async with serving(Overloaded("full", retry_after_s=2)) as model:
        response = await ask(model, stream=True)
    assert response.status_code == 529
    assert error_of(response) == {"type": "overloaded_error", "message": "Overloaded"}
    assert response.headers["retry-after"] == "2"


async def test_tools_of_anthropics_are_refused_by_name_or_dropped() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    async with serving() as model:
        refused = await ask(model, tools=[READ, search])
    async with serving(ignores_unknown=True) as model:
        dropped = await ask(model, tools=[READ, search], bogus=1)
        assert [tool.name for tool in model.prompting.tools[0]] == ["read"]
    assert "'web_search_20250305'" in error_of(refused)["message"]
    assert dropped.status_code == 200
    assert dropped.headers["x-myna-ignored"] == "bogus,web_search_20250305"
