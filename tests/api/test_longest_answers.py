"""`max_answer`: the longest answer that the server gives to any request."""

from typing import Any

import pytest
from tests.api.stand_in import error_of, serving

from myna.generation.budgets import MAX_LOGPROBS

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}]}
TEXT: dict[str, Any] = {"prompt": "a"}


async def test_an_answer_of_no_stated_length_ends_at_the_servers_limit() -> None:
    for limit, expected in ((100, 100), (0, 4096 - len("<user>a<assistant>")), (5000, 4096 - 18)):
        async with serving(max_answer_tokens=limit) as model:
            assert (await model.ask("chat/completions", **CHAT)).status_code == 200
        assert model.generator.requests[0].max_tokens == expected


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("chat/completions", CHAT, "max_tokens"),
        ("chat/completions", CHAT, "max_completion_tokens"),
        ("completions", TEXT, "max_tokens"),
    ],
)
async def test_more_than_the_servers_limit_is_refused_as_openai_does_if_it_is_strict(
    path: str, body: dict[str, Any], name: str
) -> None:
    async with serving(max_answer_tokens=100, strict_max_tokens=True) as model:
        fits = await model.ask(path, **body, **{name: 100})
        too_much = await model.ask(path, **body, **{name: 101})
    assert fits.status_code == 200
    assert model.generator.requests[0].max_tokens == 100
    assert too_much.status_code == 400
    assert error_of(too_much) == {
        "message": f"{name} is too large: 101. This model supports at most 100 completion tokens, whereas "
        "you provided 101.",
        "type": "invalid_request_error",
        "param": name,
        "code": "invalid_value",
    }


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("chat/completions", CHAT, "max_tokens"),
        ("chat/completions", CHAT, "max_completion_tokens"),
        ("completions", TEXT, "max_tokens"),
    ],
)
async def test_a_limit_that_does_not_fit_is_what_fits(path: str, body: dict[str, Any], name: str) -> None:
    num_prompt = 18 if path.startswith("chat") else 1
    for server, expected in ((100, 100), (0, 4096 - num_prompt), (5000, 4096 - num_prompt)):
        for is_stream in (False, True):
            async with serving(max_answer_tokens=server) as model:
                reply = await model.ask(path, **body, **{name: 32000}, stream=is_stream)
            assert reply.status_code == 200
            assert model.generator.requests[0].max_tokens == expected


async def test_tools_leave_room_too() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    async with serving() as model:
        assert (await model.ask("chat/completions", **CHAT, tools=tools, max_tokens=4090)).status_code == 200
    assert model.generator.requests[0].max_tokens == 4096 - 18 - 40


@pytest.mark.parametrize("is_strict", [False, True])
async def test_a_prompt_that_leaves_no_room_is_refused(is_strict: bool) -> None:
    messages = [{"role": "user", "content": "a" * (4096 - 17)}]
    async with serving(strict_max_tokens=is_strict) as model:
        chat = await model.ask("chat/completions", messages=messages, max_tokens=1)
        text = await model.ask("completions", prompt="a" * 4096, max_tokens=1)
        only_read = await model.ask("completions", prompt="a" * 4096, max_tokens=0)
    assert error_of(chat)["code"] == "context_length_exceeded"
    assert "(4096 in your prompt; 1 for the completion)" in error_of(text)["message"]
    assert only_read.status_code == 200


async def test_the_limit_is_part_of_the_fingerprint() -> None:
    prints = set()
    for limit in (0, 100, 101):
        async with serving(max_answer_tokens=limit) as model:
            prints.add((await model.ask("chat/completions", **CHAT)).json()["system_fingerprint"])
    assert len(prints) == 3


async def test_answers_with_many_log_probabilities_are_shorter() -> None:
    body = {**CHAT, "n": 128, "logprobs": True, "top_logprobs": 20}
    most = MAX_LOGPROBS // (128 * 21)
    async with serving() as model:
        assert (await model.ask("chat/completions", **CHAT, logprobs=True)).status_code == 200
        assert (await model.ask("chat/completions", **body)).status_code == 200
        assert (await model.ask("chat/completions", **body, max_tokens=most + 1)).status_code == 200
    assert [request.max_tokens for request in model.generator.requests] == [4096 - 18, most, most]
    async with serving(strict_max_tokens=True) as model:
        too_much = await model.ask("chat/completions", **body, max_tokens=most + 1)
        batch = await model.ask("completions", prompt=["a"] * 512, n=8, logprobs=5, max_tokens=200)
    assert error_of(too_much)["param"] == "max_tokens"
    assert error_of(batch)["param"] == "max_tokens"


async def test_prompts_are_not_echoed_with_more_log_probabilities_than_fit() -> None:
    body: dict[str, Any] = {"echo": True, "logprobs": 5, "max_tokens": 0, "n": 128}
    async with serving() as model:
        assert (await model.ask("completions", prompt="a" * 4096, **body)).status_code == 200
        too_much = await model.ask("completions", prompt=["a" * 4096] * 2, **body)
    assert error_of(too_much)["param"] == "logprobs"
