"""Wrong chat requests: OpenAI's words, param and code for each row of its tables, and one fault at a time."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.api.stand_in import BytePrompting, error_of, serving

FAULTS = json.loads((Path(__file__).parents[2] / "data" / "chat_faults.json").read_text("utf-8"))
USER = {"role": "user", "content": "a"}


@pytest.mark.parametrize(("changes", "param", "code", "message"), FAULTS, ids=[row[3][:60] for row in FAULTS])
async def test_a_wrong_request_is_refused_in_openais_words(
    changes: dict[str, Any], param: str, code: str | None, message: str
) -> None:
    async with serving() as model:
        response = await model.ask("chat/completions", **({"messages": [USER]} | changes))
        assert model.generator.requests == []
    assert response.status_code == 400
    assert error_of(response) == {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }


async def test_missing_messages_are_reported_before_anything_else_of_the_body() -> None:
    async with serving() as model:
        response = await model.ask("chat/completions", zzz=1, n=0)
    assert error_of(response)["message"] == "Missing required parameter: 'messages'."


async def test_the_model_is_reported_before_missing_messages() -> None:
    async with serving() as model:
        without = await model.client.post("/v1/chat/completions", json={})
        unknown = await model.client.post("/v1/chat/completions", json={"model": "gpt-5.2-proo"})
    assert error_of(without)["message"] == "you must provide a model parameter"
    assert unknown.status_code == 404
    assert error_of(unknown)["message"] == (
        "The model `gpt-5.2-proo` does not exist or you do not have access to it."
    )


async def test_faults_are_reported_in_openais_order() -> None:
    """Each is fixed once it was reported; the order is that of the specification, missing content last."""
    wrong: dict[str, Any] = {
        "metadata": 1,
        "stream": 1,
        "service_tier": 1,
        "prompt_cache_retention": 1,
        "prompt_cache_key": 1,
        "prompt_cache_options": 1,
        "safety_identifier": 1,
        "seed": "x",
        "user": 1,
        "top_logprobs": "x",
        "logprobs": 1,
        "frequency_penalty": 3,
        "presence_penalty": 3,
        "top_p": 3,
        "temperature": 3,
        "stop": 1,
        "n": 0,
        "max_completion_tokens": 0,
        "messages": [{"role": "user"}, 5],
    }
    told = []
    async with serving() as model:
        while (response := await model.ask("chat/completions", **wrong)).status_code == 400:
            param = error_of(response)["param"]
            told.append(param)
            if param == "messages[1]":
                wrong["messages"] = [{"role": "user"}]
            elif param == "messages.[0].content":
                wrong["messages"] = [USER]
            else:
                del wrong[param]
    assert told == [
        "messages[1]",
        *("max_completion_tokens", "n", "stop", "temperature", "top_p", "presence_penalty"),
        *("frequency_penalty", "logprobs", "top_logprobs", "user", "seed", "safety_identifier"),
        *("prompt_cache_options", "prompt_cache_key", "prompt_cache_retention", "service_tier"),
        *("stream", "metadata", "messages.[0].content"),
    ]


@pytest.mark.parametrize(
    ("length", "asked", "text"),
    [
        (
            5000,
            None,
            "your messages resulted in 5017 tokens. Please reduce the length of the messages.",
        ),
        (
            4000,
            500,
            "you requested 4517 tokens (4017 in the messages, 500 in the completion). "
            "Please reduce the length of the messages or completion.",
        ),
        (
            40000,
            None,
            "your messages resulted in 40017 tokens. Please reduce the length of the messages.",
        ),
        (
            2_000_000,
            None,
            "your messages resulted in at least 250000 tokens. Please reduce the length of the messages.",
        ),
    ],
)
async def test_prompt_and_answer_must_fit_the_context(length: int, asked: int | None, text: str) -> None:
    async with serving(strict_max_tokens=True) as model:
        messages = [{"role": "user", "content": "a" * length}]
        response = await model.ask("chat/completions", messages=messages, max_tokens=asked, stream=True)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert error_of(response) == {
        "message": f"This model's maximum context length is 4096 tokens. However, {text}",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }


@pytest.mark.parametrize(
    ("length", "asked", "text"),
    [
        (
            4050,
            None,
            "your messages resulted in 4107 tokens (4067 in the messages, 40 in the functions). "
            "Please reduce the length of the messages or functions.",
        ),
        (
            4000,
            500,
            "you requested 4557 tokens (4017 in the messages, 40 in the functions, and 500 in the "
            "completion). Please reduce the length of the messages, functions, or completion.",
        ),
    ],
)
async def test_tools_have_their_part_of_what_is_too_long(length: int, asked: int | None, text: str) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    async with serving(strict_max_tokens=True) as model:
        messages = [{"role": "user", "content": "a" * length}]
        response = await model.ask("chat/completions", messages=messages, max_tokens=asked, tools=tools)
    error = error_of(response)
    assert error["message"] == f"This model's maximum context length is 4096 tokens. However, {text}"
    assert (error["param"], error["code"]) == ("messages", "context_length_exceeded")


async def test_a_base_model_is_not_a_chat_model() -> None:
    async with serving(prompting=BytePrompting(has_chat_template=False)) as model:
        response = await model.ask("chat/completions", messages=[USER])
    assert response.status_code == 404
    assert error_of(response) == {
        "message": "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
        "Did you mean to use v1/completions?",
        "type": "invalid_request_error",
        "param": "model",
        "code": None,
    }


async def test_a_refusal_of_the_template_is_the_clients_fault() -> None:
    async with serving() as model:
        response = await model.ask("chat/completions", messages=[{"role": "user", "content": "refuse me"}])
    assert response.status_code == 400
