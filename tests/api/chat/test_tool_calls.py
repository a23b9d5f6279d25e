"""Tools: what a request may declare and choose, the grammar it makes, and calls streamed and whole."""

import json
import re
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.api.events import chunks
from tests.api.stand_in import script, serving

from myna.api.chat.answer import ChatCompletionAccumulator
from myna.api.chat.chunks import ChatChunkRenderer
from myna.api.chat.response_spec import ResponseSpec
from myna.core.conversation import ToolCall, ToolSpec
from myna.core.events import ChoiceDone, Done, Event, FinishReason, PromptDone, TextDelta, TokenLogprob
from myna.core.requests import NO_CALLS, CallMarks, GenerationRequest
from myna.generation.tool_choice import ANY_TOOL, DeclaredTool, resolve_tools
from myna.prompts.call_formats.table import FORMATS
from myna.scheduling.grammar_text import grammar_text

USER = {"role": "user", "content": "a"}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call>'
SECOND = '\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
BARE_CALL = '{"name": "now", "arguments": {}}'


def events(text: str, size: int = 3, reason: FinishReason = "stop") -> list[Event]:
    """The text a few characters at a time, each with a log-probability."""
    parts = [text[i : i + size] for i in range(0, len(text), size)]
    deltas = [TextDelta(0, part, 1, (TokenLogprob(1, -1.0, part.encode()),)) for part in parts]
    return [PromptDone(9, 0), *deltas, ChoiceDone(0, reason, 1, len(parts)), Done(len(parts))]


def plan(form: str = "hermes", **changes: Any) -> ResponseSpec:
    declared = [DeclaredTool(ToolSpec(name), "tools") for name in ("weather", "now")]
    tools = resolve_tools(declared, ANY_TOOL, form, is_parallel=True, answer=None)
    return ResponseSpec(
        "chatcmpl-1",
        7,
        "m",
        "default",
        "fp_1",
        tools=tools,
        **changes,
    )


def whole(told: list[Event], shape: ResponseSpec) -> dict[str, Any]:
    accumulator = ChatCompletionAccumulator(shape)
    for event in told:
        accumulator.feed(event)
    parsed: dict[str, Any] = json.loads(b"".join(accumulator.parts()))
    ChatCompletion.model_validate(parsed, strict=True)
    return parsed


def joined(told: list[Event], shape: ResponseSpec) -> dict[str, Any]:
    """The message that a client puts together from the chunks, as the SDKs do."""
    message: dict[str, Any] = {"content": None, "tool_calls": [], "logprobs": [], "finish_reason": None}
    for chunk in chunks(ChatChunkRenderer(shape), told):
        ChatCompletionChunk.model_validate(chunk, strict=True)
        [choice] = chunk["choices"]
        delta = choice["delta"]
        if delta.get("content") is not None:
            message["content"] = (message["content"] or "") + delta["content"]
        for call in delta.get("tool_calls", ()):
            if call["index"] == len(message["tool_calls"]):
                assert re.fullmatch(r"call_[0-9A-Za-z]{24}", call["id"]) and call["type"] == "function"
                message["tool_calls"].append(dict(call["function"]))
            else:
                assert call.keys() == {"index", "function"}
                message["tool_calls"][call["index"]]["arguments"] += call["function"]["arguments"]
        message["logprobs"] += (choice["logprobs"] or {}).get("content", [])
        message["finish_reason"] = choice["finish_reason"]
    return message


FIXTURES: dict[str, tuple[str, str, FinishReason]] = {
    "one call": (CALL, "hermes", "stop"),
    "two calls": (CALL + SECOND, "hermes", "stop"),
    "words and a call": ("Let me look.\n" + CALL, "hermes", "stop"),
    "a call alone": (BARE_CALL, "bare", "stop"),
    "a call cut off": (CALL[:50], "hermes", "length"),
    "words that look like a call": ("a <tool_call is", "hermes", "stop"),
    "words": ("你好", "bare", "stop"),
}


@pytest.mark.parametrize("wants_logprobs", [True, False])
@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("name", FIXTURES)
def test_streamed_and_whole_answers_are_the_same(name: str, size: int, wants_logprobs: bool) -> None:
    text, form, reason = FIXTURES[name]
    told, shape = events(text, size, reason), plan(form, wants_logprobs=wants_logprobs)
    choice = whole(told, shape)["choices"][0]
    message = joined(told, shape)
    assert message["content"] == choice["message"]["content"]
    assert message["tool_calls"] == [call["function"] for call in choice["message"].get("tool_calls", [])]
    assert message["finish_reason"] == choice["finish_reason"]
    assert message["logprobs"] == (choice["logprobs"]["content"] if wants_logprobs else [])


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("form", FORMATS)
def test_every_form_of_a_call_is_streamed_as_it_is_answered_whole(form: str, size: int) -> None:
    arguments = '{"city": "北京 \\"x\\"\\n"}'
    text = FORMATS[form].write([ToolCall("call00001", "weather", arguments)])
    choice = whole(events(text, size), plan(form))["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")
    [call] = [call["function"] for call in choice["message"]["tool_calls"]]
    assert (call["name"], json.loads(call["arguments"])) == ("weather", json.loads(arguments))
    message = joined(events(text, size), plan(form))
    assert (message["content"], message["tool_calls"], message["finish_reason"]) == (
        None,
        [call],
        "tool_calls",
    )


@pytest.mark.parametrize("form", FORMATS)
def test_a_call_that_is_cut_is_neither_text_nor_finished(form: str) -> None:
    text = FORMATS[form].write([ToolCall("call00001", "weather", '{"city": "Paris"}')])
    for end in range(1, len(text)):
        for reason in ("length", "stop"):
            told = events(text[:end], 1000, reason)
            choice, message = whole(told, plan(form))["choices"][0], joined(told, plan(form))
            calls = choice["message"].get("tool_calls", [])
            assert choice["finish_reason"] == message["finish_reason"]
            if reason == "length":
                assert not choice["message"]["content"] and not message["content"]
                assert choice["finish_reason"] == "length"
            elif choice["finish_reason"] == "tool_calls":
                assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Paris"}]


def test_a_call_is_not_content() -> None:
    choice = whole(events(CALL + SECOND), plan())["choices"][0]
    message = choice["message"]
    assert list(message) == ["role", "content", "tool_calls", "refusal", "annotations"]
    assert message["content"] is None
    assert [list(call) for call in message["tool_calls"]] == [["id", "type", "function"]] * 2
    assert [call["function"] for call in message["tool_calls"]] == [
        {"name": "weather", "arguments": '{"city": "北京"}'},
        {"name": "now", "arguments": "{}"},
    ]
    assert len({call["id"] for call in message["tool_calls"]}) == 2
    assert choice["finish_reason"] == "tool_calls"


def test_words_before_a_call_are_content_and_words_alone_have_no_calls() -> None:
    assert whole(events("Sure.\n" + CALL), plan())["choices"][0]["message"]["content"] == "Sure.\n"
    message = whole(events("Sure."), plan())["choices"][0]["message"]
    assert "tool_calls" not in message and message["content"] == "Sure."


def test_log_probabilities_of_words_that_were_held_back_are_not_lost() -> None:
    entries = whole(events("a <tool_call is", 1), plan(wants_logprobs=True))["choices"][0]["logprobs"][
        "content"
    ]
    assert "".join(entry["token"] for entry in entries) == "a <tool_call is"


def test_the_first_chunk_of_a_call_has_role_and_header() -> None:
    first, second, *_, last = chunks(ChatChunkRenderer(plan()), events(CALL))
    [call] = first["choices"][0]["delta"].pop("tool_calls")
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": None, "refusal": None}
    assert list(call) == ["index", "id", "type", "function"]
    assert call["function"] == {"name": "weather", "arguments": ""}
    [piece] = second["choices"][0]["delta"]["tool_calls"]
    assert piece == {"index": 0, "function": {"arguments": piece["function"]["arguments"]}}
    assert last["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "tool_calls"}


async def asked(**body: Any) -> tuple[GenerationRequest, list[ToolSpec]]:
    async with serving() as model:
        response = await model.ask("chat/completions", messages=[USER], **body)
        assert response.status_code == 200, response.text
        [tools] = model.prompting.tools
        return model.generator.requests[0], list(tools)


def allows(request: GenerationRequest, text: str) -> bool:
    assert request.constraint is not None
    tokenizer = LLTokenizer("byte")
    matcher = LLMatcher(tokenizer, grammar_text(request.constraint))
    tokens = tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


NAMED = {"type": "function", "function": {"name": "now"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}


@pytest.mark.parametrize(
    ("choice", "words", "weather", "now", "both"),
    [
        (None, True, True, True, True),
        ("auto", True, True, True, True),
        ("none", True, False, False, False),
        ("required", False, True, True, True),
        (NAMED, False, False, True, False),
        (ALLOWED, False, False, True, False),
    ],
)
async def test_the_choice_decides_what_the_grammar_lets_through(
    choice: Any, words: bool, weather: bool, now: bool, both: bool
) -> None:
    request, tools = await asked(tools=[WEATHER, NOW], tool_choice=choice)
    assert [tool.name for tool in tools] == ["weather", "now"]
    assert tools[0].description == "The weather"
    assert allows(request, "hello") == words
    assert allows(request, CALL) == weather
    assert allows(request, SECOND.lstrip()) == now
    assert allows(request, CALL + SECOND) == both
    assert not allows(request, CALL.replace("city", "town"))


async def test_one_call_at_most_where_several_are_not_wanted() -> None:
    request, _ = await asked(tools=[WEATHER, NOW], parallel_tool_calls=False)
    assert allows(request, CALL) and not allows(request, CALL + SECOND)


async def test_a_schema_for_the_answer_and_tools_leave_both_possible() -> None:
    schema = WEATHER["function"]["parameters"]
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}
    request, _ = await asked(tools=[NOW], response_format=form)
    assert allows(request, '{"city": "x"}')
    assert allows(request, SECOND.lstrip())
    assert not allows(request, "hello")


async def test_stop_strings_are_not_looked_for_in_calls() -> None:
    request, _ = await asked(tools=[NOW], stop="x")
    assert request.calls.anywhere[0] == "<tool_call>"
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    request, _ = await asked(tools=[NOW], stop="x", response_format=schema)
    assert request.calls == CallMarks(("<tool_call>",))
    request, _ = await asked(tools=[NOW], stop="x", tool_choice="none")
    assert request.calls == NO_CALLS


async def test_the_official_client_puts_streamed_calls_together() -> None:
    async with (
        serving(script(*events(CALL + "\n" + CALL))) as model,
        model.openai().chat.completions.stream(
            model="tiny",
            messages=[{"role": "user", "content": "a"}],
            tools=[WEATHER],  # type: ignore[list-item]
        ) as stream,
    ):
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    told = [(call.function.name, call.function.arguments) for call in calls]
    assert told == [("weather", '{"city": "北京"}')] * 2
