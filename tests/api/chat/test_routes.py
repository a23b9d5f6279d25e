"""`POST /v1/chat/completions` through the whole application, over a scripted model."""

import json
import re
from typing import Any

import pytest
from tests.api.stand_in import chunks_of, script, serving
from tests.http.scripted import words

from myna.core.conversation import Message, ToolCall
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta
from myna.scheduling.grammar_text import grammar_text

USER = {"role": "user", "content": "a"}


async def test_messages_become_a_conversation() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    async with serving() as model:
        response = await model.ask(
            "chat/completions",
            messages=[
                {"role": "system", "content": "be brief"},
                {
                    "role": "developer",
                    "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}],
                },
                {"role": "user", "content": "你好", "name": "Li-1_x"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": "42", "tool_call_id": "call_1"},
                {"role": "assistant", "content": None, "refusal": "no"},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "never"}]},
                {"role": "user", "content": ""},
                {"role": "user", "content": []},
            ],
        )
        [conversation] = model.prompting.conversations
    assert response.status_code == 200
    assert list(conversation) == [
        Message.of("system", "be brief"),
        Message.of("developer", "be kind"),
        Message.of("user", "你好", "Li-1_x"),
        Message.of("assistant", None, None, (ToolCall("call_1", "f", '{"a": 1}'),)),
        Message.of("tool", "42", tool_call_id="call_1"),
        Message.of("assistant", "no"),
        Message.of("assistant", "never"),
        Message.of("user", ""),
        Message.of("user", ""),
    ]


async def test_parameters_reach_the_generation() -> None:
    async with serving() as model:
        response = await model.ask(
            "chat/completions",
            messages=[USER],
            max_completion_tokens=7,
            n=2,
            temperature=0,
            top_p=0.5,
            top_k=3,
            min_p=0.25,
            repetition_penalty=1.25,
            min_tokens=6,
            stop_token_ids=[8, 9],
            presence_penalty=0.5,
            frequency_penalty=1.5,
            logit_bias={"7": 3},
            stop="END",
            seed=5,
            logprobs=True,
            top_logprobs=20,
            service_tier="priority",
            ignore_eos=True,
            user="u",
            safety_identifier="s",
            prompt_cache_key="k",
            metadata={"a": "b"},
        )
        [request] = model.generator.requests
    assert response.status_code == 200
    assert bytes(request.prompt_tokens) == b"<user>a<assistant>"
    assert (request.max_tokens, request.num_choices, request.best_of) == (7, 2, 2)
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.0, 0.5, 3, 0.25)
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.seed) == (0.5, 1.5, 5)
    assert sampling.repetition_penalty == 1.25
    assert sampling.logit_bias == ((7, 3.0),)
    assert (request.min_tokens, request.stop_token_ids) == (6, (8, 9))
    assert (request.stop, request.num_logprobs, request.ignore_eos) == (("END",), 20, True)
    assert request.priority == 1
    assert (request.owner, request.cache_salt) != ("", "")


async def test_without_a_limit_the_answer_may_fill_the_context() -> None:
    async with serving() as model:
        await model.ask("chat/completions", messages=[USER], logprobs=True)
        [request] = model.generator.requests
    assert len(request.prompt_tokens) + request.max_tokens == 4096
    assert request.num_logprobs == 0


@pytest.mark.parametrize(
    ("asked", "served", "priority"),
    [(None, "default", 0), ("auto", "default", 0), ("flex", "flex", -1), ("fast", "priority", 1)],
)
async def test_the_service_tier_is_a_priority_and_is_reported(
    asked: str | None, served: str, priority: int
) -> None:
    async with serving() as model:
        response = await model.ask("chat/completions", messages=[USER], service_tier=asked)
        assert model.generator.requests[0].priority == priority
    assert response.json()["service_tier"] == served


async def test_the_whole_answer_has_openais_keys_in_their_order() -> None:
    async with serving(words("Hi", " there")) as model:
        response = await model.client.post(
            "/v1/chat/completions", json={"model": "gpt-4o-mini", "messages": [USER]}
        )
    body = response.json()
    keys = "id object created model choices usage service_tier system_fingerprint"
    assert list(body) == keys.split()
    assert re.fullmatch(r"chatcmpl-[0-9A-Za-z]{29}", body["id"])
    assert re.fullmatch(r"fp_[0-9a-f]{10}", body["system_fingerprint"])
    assert body["model"] == "gpt-4o-mini"
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hi there",
        "refusal": None,
        "annotations": [],
    }
    assert response.headers["content-type"] == "application/json"


async def test_stream_options_decide_what_a_stream_carries() -> None:
    async with serving() as model:
        plain = chunks_of(await model.ask("chat/completions", messages=[USER], stream=True))
        options = {"include_usage": True, "include_obfuscation": False}
        bare = chunks_of(
            await model.ask("chat/completions", messages=[USER], stream=True, stream_options=options)
        )
    assert all("obfuscation" in chunk and "usage" not in chunk for chunk in plain)
    assert all("obfuscation" not in chunk and "usage" in chunk for chunk in bare)
    assert bare[-1]["choices"] == [] and bare[-1]["usage"]["total_tokens"] == 5


async def test_the_official_client_is_served() -> None:
    async with serving(words("Hi"), words("H", "i")) as model:
        client = model.openai()
        whole = await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "a"}]
        )
        async with client.chat.completions.stream(
            model="tiny", messages=[{"role": "user", "content": "a"}]
        ) as stream:
            final = await stream.get_final_completion()
    assert whole.choices[0].message.content == "Hi"
    assert final.choices[0].message.content == "Hi"
    assert final.choices[0].finish_reason == "stop"


def grammar(request: Any) -> Any:
    [part] = json.loads(grammar_text(request.constraint))["grammars"]
    return part["json_schema"]


async def test_a_response_format_becomes_a_constraint() -> None:
    schema = {
        "type": "object",
        "properties": {
            "姓名": {"type": "string"},
            "年龄": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["姓名", "年龄"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": schema, "strict": True}}
    loose = {
        "type": "json_schema",
        "json_schema": {"name": "p", "schema": {"type": "array", "uniqueItems": True}},
    }
    ask_json = [{"role": "user", "content": "Answer in JSON."}]
    async with serving() as model:
        for one in (form, loose, {"type": "json_object"}, {"type": "text"}):
            response = await model.ask("chat/completions", messages=ask_json, response_format=one)
            assert response.status_code == 200
        strict, lenient, anything, plain = model.generator.requests
    told = grammar(strict)
    assert told.pop("x-guidance")["lenient"] is False
    assert told == schema
    assert list(told["properties"]) == ["姓名", "年龄"]
    assert grammar(lenient)["x-guidance"]["lenient"] is True
    assert grammar(anything)["type"] == "object"
    assert plain.constraint is None


async def test_a_prediction_reaches_the_engine_and_its_tokens_are_counted() -> None:
    steps = script(PromptDone(3, 0), TextDelta(0, "ab", 2), ChoiceDone(0, "stop", 1, 3), Done(3, 1, 2))
    async with serving(steps, words("a")) as model:
        prediction: dict[str, Any] = {"type": "content", "content": "abc"}
        response = await model.ask("chat/completions", messages=[USER], prediction=prediction)
        prediction["content"] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        await model.ask("chat/completions", messages=[USER], prediction=prediction)
        first, second = model.generator.requests
    assert (bytes(first.prediction_tokens), bytes(second.prediction_tokens)) == (b"abc", b"ab")
    details = response.json()["usage"]["completion_tokens_details"]
    assert details["accepted_prediction_tokens"] == 1
    assert details["rejected_prediction_tokens"] == 2
