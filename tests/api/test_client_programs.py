"""What programs send that OpenAI's reference doesn't say, with their own values: whole and streamed."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from tests.api.stand_in import BytePrompting, chunks_of, error_of, serving
from tests.http.scripted import words

from myna.core.constraints import JsonObject, JsonSchema, LarkGrammar, Regex, TextChoice
from myna.core.renderer import Thinking

HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
TOOL = {"type": "function", "function": {"name": "read", "strict": False, "parameters": {"type": "object"}}}
CALL: dict[str, Any] = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
# What Continue sends for a Qwen coder: nine strings of its template, three of its own.
CONTINUE_STOPS = [
    *("<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>"),
    *("<|file_sep|>", "<|im_start|>", "<|im_end|>", "/src/", "#- coding: utf-8", "```"),
]
CHATS: dict[str, dict[str, Any]] = {
    "OpenCode": {**HI, "max_tokens": 32000, "tools": [TOOL], "stream_options": {"include_usage": True}},
    "Claude Code through LiteLLM": {
        **HI,
        "max_tokens": 32000,
        "prompt_cache_key": "k",
        "user": '{"device_id":"d","session_id":"s"}',
        "tools": [TOOL] * 24,
    },
    "pi": {**HI, "max_completion_tokens": 16384, "store": False, "tools": [TOOL]},
    "Copilot CLI": {**HI, "reasoning_effort": "medium", "temperature": 1, "tools": [TOOL] * 16},
    "Copilot CLI's second turn": {
        "messages": [
            {"role": "system", "content": "s"},
            *HI["messages"],
            *HI["messages"],
            {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        ],
        "temperature": 0,
        "top_p": 0.95,
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "tools": [TOOL],
    },
    "pi's second turn": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        ],
        "max_completion_tokens": 16384,
        "store": False,
        "tools": [TOOL],
    },
    "code for GPT-5": {**HI, "verbosity": "low", "max_completion_tokens": 128000},
    "Graphiti": {**HI, "max_tokens": 16384},
    "RAGFlow with qwen3": {**HI, "enable_thinking": False},
    "Home Assistant's OpenAI Conversation": {
        **HI,
        "max_tokens": 150,
        "temperature": 0.5,
        "top_p": 1,
        "user": "01M8NW2CAD0CZX5WC85MTFMJB5",
    },
    "Home Assistant's Local OpenAI LLM": {**HI, "chat_template_kwargs": {"enable_thinking": False}},
    "vLLM's users": {
        **HI,
        "chat_template_kwargs": {"enable_thinking": False, "thinking_budget": 100},
        "skip_special_tokens": True,
        "use_beam_search": False,
        "add_generation_prompt": True,
        "best_of": 1,
        "length_penalty": 1.0,
    },
    "Ollama's users": {**HI, "num_ctx": 131072, "keep_alive": "5m", "mirostat": 0, "repeat_penalty": 1},
    "llama.cpp's users": {**HI, "cache_prompt": True, "typical_p": 1.0, "dry_multiplier": 0.0, "n_probs": 0},
    "LangChain": {"messages": [{"role": "user", "content": "hi", "name": "José"}]},
    "names": {
        "messages": [
            {"role": "user", "content": "hi", "name": "ana@x.org"},
            {"role": "assistant", "content": "hi", "name": "王"},
            {"role": "user", "content": "hi", "name": "a.b:c'd"},
        ]
    },
    "RAGFlow's agents": {
        "messages": [
            *HI["messages"],
            {"role": "assistant", "tool_calls": [{**CALL, "index": 0}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        ]
    },
    "a parsed answer of an SDK": {
        "messages": [
            *HI["messages"],
            {
                "id": "chatcmpl-1-0",
                "role": "assistant",
                "content": "{}",
                "refusal": None,
                "annotations": [],
                "audio": None,
                "function_call": None,
                "tool_calls": None,
                "parsed": {"a": [1]},
            },
            *HI["messages"],
        ]
    },
    "an answer of LiteLLM": {
        "messages": [
            *HI["messages"],
            {"role": "assistant", "content": "x", "provider_specific_fields": {"refusal": None}},
            *HI["messages"],
        ]
    },
    "a parsed call of an SDK": {
        "messages": [
            *HI["messages"],
            {
                "role": "assistant",
                "content": None,
                "parsed": None,
                "tool_calls": [
                    {**CALL, "index": 0, "function": {**CALL["function"], "parsed_arguments": {}}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        ]
    },
}


@pytest.mark.parametrize("program", CHATS)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_programs_chat_is_answered(program: str, is_stream: bool) -> None:
    body = CHATS[program]
    if not is_stream:
        body = {name: value for name, value in body.items() if name != "stream_options"}
    async with serving() as model:
        reply = await model.ask("chat/completions", **body, stream=is_stream)
    assert reply.status_code == 200, reply.text
    assert "x-myna-ignored" not in reply.headers
    if is_stream:
        assert chunks_of(reply)[1]["choices"][0]["delta"]["content"] == "Hi"
    else:
        assert reply.json()["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_continues_completions_are_answered(is_stream: bool) -> None:
    body = {"prompt": "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", "max_tokens": 4096, "temperature": 0.01}
    async with serving() as model:
        reply = await model.ask("completions", **body, stop=CONTINUE_STOPS, stream=is_stream)
    assert reply.status_code == 200
    assert model.generator.requests[0].stop == tuple(CONTINUE_STOPS)


class Answer(BaseModel):
    a: int


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the SDK's
async def test_openais_own_client_continues_a_parsed_chat() -> None:
    async with serving(words('{"a": 1}'), words("Hi"), words("{", '"a": 2}'), words("Hi")) as model:
        client: AsyncOpenAI = model.openai()
        messages: list[Any] = [{"role": "user", "content": "hi"}]
        parsed = await client.chat.completions.parse(model="tiny", messages=messages, response_format=Answer)
        assert parsed.choices[0].message.parsed == Answer(a=1)
        messages += [parsed.choices[0].message, {"role": "user", "content": "more"}]
        await client.chat.completions.create(model="tiny", messages=messages)
        async with client.chat.completions.stream(
            model="tiny", messages=messages, response_format=Answer
        ) as stream:
            final = await stream.get_final_completion()
        messages += [final.choices[0].message, {"role": "user", "content": "more"}]
        last = await client.chat.completions.create(model="tiny", messages=messages)
    assert last.choices[0].message.content == "Hi"


# --- template variables ---


async def test_template_variables_reach_the_template() -> None:
    variables = {"custom": "x", "documents": [{"title": "a"}]}
    async with serving() as model:
        await model.ask("chat/completions", **HI, chat_template_kwargs=variables)
        await model.ask("chat/completions", **HI, chat_template_kwargs=None)
    assert [dict(switches) for switches in model.prompting.switches] == [variables, {}]


@pytest.mark.parametrize("name", ["messages", "tools", "bos_token", "raise_exception", "self"])
async def test_a_template_variable_of_myna_itself_is_refused(name: str) -> None:
    async with serving() as model:
        reply = await model.ask("chat/completions", **HI, chat_template_kwargs={"a": 1, name: []})
    error = error_of(reply)
    assert (error["param"], error["code"]) == (f"chat_template_kwargs.{name}", "unsupported_parameter")


async def test_template_variables_are_bounded() -> None:
    deep: Any = []
    for _ in range(40):
        deep = [deep]
    async with serving() as model:
        nested = await model.ask("chat/completions", **HI, chat_template_kwargs={"a": deep})
        many = await model.ask(
            "chat/completions", **HI, chat_template_kwargs={f"v{number}": 1 for number in range(65)}
        )
        text = await model.ask("chat/completions", **HI, chat_template_kwargs="{}")
    assert [error_of(reply)["code"] for reply in (nested, many, text)] == [
        "invalid_value",
        "object_above_max_properties",
        "invalid_type",
    ]


async def test_far_too_long_variables_are_refused_unrendered() -> None:
    async with serving() as model:
        texts = {"documents": [{"text": "a" * 300_000}]}
        reply = await model.ask("chat/completions", **HI, chat_template_kwargs=texts)
    assert error_of(reply)["code"] == "context_length_exceeded"
    assert model.prompting.switches == []


def _switch(can_skip: bool, is_default: bool) -> BytePrompting:
    return BytePrompting(thinking=Thinking("<think>", "</think>", can_skip, is_default, False))


@pytest.mark.parametrize(
    ("body", "prompting", "is_thinking", "switch"),
    [
        ({"enable_thinking": False}, _switch(True, True), False, False),
        ({"chat_template_kwargs": {"enable_thinking": False}}, _switch(True, True), False, False),
        ({"chat_template_kwargs": {"thinking": False}}, _switch(True, True), False, False),
        ({"enable_thinking": True}, _switch(True, False), True, True),
        ({"chat_template_kwargs": {"thinking": True}}, _switch(True, False), True, True),
        ({"enable_thinking": True, "reasoning_effort": "none"}, _switch(True, True), False, False),
        (
            {"enable_thinking": False, "chat_template_kwargs": {"thinking": True}},
            _switch(True, True),
            False,
            False,
        ),
    ],
)
async def test_thinking_is_switched_as_other_servers_do(
    body: dict[str, Any], prompting: BytePrompting, is_thinking: bool, switch: bool
) -> None:
    async with serving(prompting=prompting) as model:
        assert (await model.ask("chat/completions", **HI, **body)).status_code == 200
    assert (model.generator.requests[0].thought is not None) == is_thinking
    assert prompting.switches[0]["enable_thinking"] is switch


async def test_a_model_that_does_not_think_accepts_the_switch() -> None:
    async with serving() as model:
        assert (await model.ask("chat/completions", **HI, enable_thinking=True)).status_code == 200
    assert model.generator.requests[0].thought is None


# --- formats ---

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FORMATS: list[tuple[dict[str, Any], Callable[[Any], bool]]] = [
    ({"guided_json": SCHEMA}, lambda it: isinstance(it, JsonSchema) and json.loads(it.schema) == SCHEMA),
    ({"guided_json": json.dumps(SCHEMA)}, lambda it: isinstance(it, JsonSchema) and not it.is_strict),
    ({"guided_regex": "[ab]+"}, lambda it: isinstance(it, Regex) and it.pattern == "[ab]+"),
    ({"guided_choice": ["yes", "no"]}, lambda it: it == TextChoice(("yes", "no"))),
    ({"guided_grammar": 'start: "a"'}, lambda it: isinstance(it, LarkGrammar)),
    ({"structured_outputs": {"json": SCHEMA}}, lambda it: isinstance(it, JsonSchema)),
    ({"structured_outputs": {"json_object": True}}, lambda it: it == JsonObject()),
    ({"structured_outputs": {"regex": "[ab]+", "choice": None}}, lambda it: isinstance(it, Regex)),
    ({"structured_outputs": {"choice": ["yes"]}}, lambda it: it == TextChoice(("yes",))),
    ({"structured_outputs": {"grammar": 'start: "a"'}}, lambda it: isinstance(it, LarkGrammar)),
    ({"structured_outputs": {}}, lambda it: it is None),
]


@pytest.mark.parametrize(("form", "is_right"), FORMATS, ids=[json.dumps(row[0])[:50] for row in FORMATS])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_format_of_other_servers_constrains_the_answer(
    form: dict[str, Any], is_right: Callable[[Any], bool], is_stream: bool
) -> None:
    async with serving() as model:
        chat = await model.ask("chat/completions", **HI, **form, stream=is_stream)
        text = await model.ask("completions", prompt="a", **form, stream=is_stream)
    assert (chat.status_code, text.status_code) == (200, 200)
    assert [is_right(request.constraint) for request in model.generator.requests] == [True, True]


async def test_a_json_object_may_have_a_schema() -> None:
    async with serving() as model:
        form = {"type": "json_object", "schema": SCHEMA}
        reply = await model.ask("chat/completions", **HI, response_format=form)
    assert reply.status_code == 200  # though no message has the word
    constraint = model.generator.requests[0].constraint
    assert isinstance(constraint, JsonSchema)
    assert json.loads(constraint.schema) == SCHEMA


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"guided_json": "{", "n": 1}, "guided_json"),
        ({"guided_json": [1]}, "guided_json"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_choice": ["a", ""]}, "guided_choice[1]"),
        ({"guided_choice": "a"}, "guided_choice"),
        ({"guided_choice": ["a"] * 1025}, "guided_choice"),
        ({"guided_regex": "("}, "guided_regex"),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex"),
        ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs.structural_tag"),
        ({"structured_outputs": {"grammar": "start ::= a"}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"json": {"type": 5}}}, "structured_outputs.json"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice"),
        ({"guided_regex": "a", "structured_outputs": {"regex": "a"}}, "guided_regex"),
    ],
)
async def test_a_wrong_format_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    async with serving() as model:
        chat = await model.ask("chat/completions", **HI, **body)
        text = await model.ask("completions", prompt="a", **body)
    assert (chat.status_code, text.status_code) == (400, 400)
    assert {error_of(chat)["param"], error_of(text)["param"]} <= {param, "structured_outputs.regex"}


async def test_formats_exclude_each_other_and_all_but_json_tools() -> None:
    form = {"type": "json_object", "schema": SCHEMA}
    async with serving() as model:
        both = await model.ask("chat/completions", **HI, response_format=form, guided_regex="a")
        tools = await model.ask("chat/completions", **HI, tools=[TOOL], guided_choice=["a"])
        none = await model.ask(
            "chat/completions", **HI, tools=[TOOL], tool_choice="none", guided_choice=["a"]
        )
        schema = await model.ask("chat/completions", **HI, tools=[TOOL], guided_json=SCHEMA)
    assert (error_of(both)["param"], error_of(tools)["param"]) == ("response_format", "tools")
    assert (none.status_code, schema.status_code) == (200, 200)


# --- what is left ---


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mirostat", 2),
        ("repeat_penalty", 1.1),
        ("typical_p", 0.5),
        ("bad_words", ["x"]),
        ("prompt_logprobs", 0),
    ],
)
async def test_a_value_that_asks_for_something_is_refused_by_name(field: str, value: object) -> None:
    async with serving() as model:
        for path, body in (("chat/completions", HI), ("completions", {"prompt": "a"})):
            error = error_of(await model.ask(path, **body, **{field: value}))
            assert (error["param"], error["code"]) == (field, "unsupported_parameter")


STRANGE: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": "hi", "provider_data": 1},
        {"role": "user", "content": "hi", "provider_data": 2},
    ],
    "mirostat": 2,
    "modalities": ["text", "audio"],
    "num_predict": 5,
    "tools": [{**TOOL, "cache_control": {}}],
}


@pytest.mark.parametrize("is_stream", [False, True])
async def test_what_is_left_is_dropped_and_named_if_the_server_is_set_to(
    is_stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "myna.access")
    async with serving(ignores_unknown=True) as model:
        reply = await model.ask("chat/completions", **STRANGE, stream=is_stream)
        text = await model.ask("completions", prompt="a", zzz=1, stream=is_stream)
    assert (reply.status_code, text.status_code) == (200, 200)
    named = reply.headers["x-myna-ignored"].split(",")
    assert sorted(named) == [
        "messages[].content[].cache_control",
        "messages[].provider_data",
        "mirostat",
        "modalities",
        "num_predict",
        "tools[].cache_control",
    ]
    assert text.headers["x-myna-ignored"] == "zzz"
    lines = [record.message for record in caplog.records if record.name == "myna.access"]
    assert f"ignored={reply.headers['x-myna-ignored']}" in lines[0]
    assert "ignored=zzz" in lines[1]


async def test_a_server_that_drops_what_is_left_refuses_wrong_values() -> None:
    async with serving(ignores_unknown=True) as model:
        wrong = await model.ask("chat/completions", **HI, zzz=1, temperature=3)
        missing = await model.ask("chat/completions", zzz=1)
        plain = await model.ask("chat/completions", **HI)
    assert (error_of(wrong)["param"], error_of(missing)["param"]) == ("temperature", "messages")
    assert "x-myna-ignored" not in plain.headers


async def test_many_dropped_names_make_a_short_header() -> None:
    names = {f"{'k' * 200}\r\n{number}": 1 for number in range(5000)} | {
        f"z{number}": 1 for number in range(99)
    }
    async with serving(ignores_unknown=True) as model:
        reply = await model.ask("chat/completions", **HI, **names)
    assert reply.status_code == 200
    assert len(reply.headers["x-myna-ignored"]) < 4096
