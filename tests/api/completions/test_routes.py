"""`POST /v1/completions` through the whole application, over a scripted model."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.api.stand_in import BOS, BytePrompting, chunks_of, error_of, script, serving
from tests.http.scripted import words

from myna.core.errors import Overloaded
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta


async def test_every_form_of_prompt_becomes_tokens() -> None:
    async with serving() as model:
        for prompt in ("ab", "", ["ab", "c"], [97, 98], [[97], [98, 99]], None):
            assert (await model.ask("completions", prompt=prompt)).status_code == 200
        assert (await model.ask("completions")).status_code == 200
        tokens = [request.prompt_tokens for request in model.generator.requests]
    start = (BOS,)
    assert tokens == [(97, 98), start, (97, 98), (99,), (97, 98), (97,), (98, 99), start, start]


async def test_the_answer_echoes_the_name_that_was_asked_for() -> None:
    async with serving(words("Hi", " there")) as model:
        response = await model.client.post("/v1/completions", json={"model": "gpt-4o-mini", "prompt": "a"})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-cache, must-revalidate"
    body = response.json()
    assert body["model"] == "gpt-4o-mini"
    assert body["choices"] == [{"text": "Hi there", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert response.text.endswith("}\n")


async def test_parameters_reach_the_generation() -> None:
    async with serving() as model:
        response = await model.ask(
            "completions",
            prompt="a",
            max_tokens=5,
            n=2,
            best_of=3,
            temperature=0.5,
            top_p=0.25,
            top_k=7,
            min_p=0.125,
            repetition_penalty=0.5,
            min_tokens=5,
            stop_token_ids=[1],
            presence_penalty=1,
            frequency_penalty=-1,
            logit_bias={"5": -100, "6": 1.5},
            stop=["x", "你"],
            seed=-1,
            logprobs=2,
            echo=True,
            ignore_eos=True,
            user="someone",
        )
        [request] = model.generator.requests
    assert response.status_code == 200
    assert (request.max_tokens, request.num_choices, request.best_of) == (5, 2, 3)
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.25, 7, 0.125)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (1.0, -1.0)
    assert sampling.repetition_penalty == 0.5
    assert (request.min_tokens, request.stop_token_ids) == (5, (1,))
    assert sampling.logit_bias == ((5, -100.0), (6, 1.5))
    assert sampling.seed == 2**64 - 1
    assert request.stop == ("x", "你")
    assert (request.num_logprobs, request.num_prompt_logprobs) == (2, 2)
    assert request.ignore_eos
    assert (request.owner, request.cache_salt) != ("", "")


@pytest.mark.parametrize("value", [-1, 0])
async def test_top_k_can_be_off(value: int) -> None:
    async with serving() as model:
        await model.ask("completions", prompt="a", top_k=value)
        [request] = model.generator.requests
    assert request.sampling.top_k == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"min_tokens": 17}, "min_tokens"),
        ({"min_tokens": -1}, "min_tokens"),
        ({"stop_token_ids": [1, 1 << 40]}, "stop_token_ids[1]"),
        ({"stop_token_ids": ["a"]}, "stop_token_ids[0]"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
        ({"stop_token_ids": 3}, "stop_token_ids"),
        ({"stop_token_ids": [1] * 129}, "stop_token_ids"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"top_k": -2}, "top_k"),
    ],
)
async def test_fields_of_other_servers_are_checked(fields: dict[str, Any], param: str) -> None:
    async with serving() as model:
        for endpoint, more in (
            ("completions", {"prompt": "a"}),
            ("chat/completions", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 16}),
        ):
            response = await model.ask(endpoint, **more, **fields)
            assert response.status_code == 400
            assert response.json()["error"]["param"] == param


async def test_defaults_are_openais_and_seeds_differ() -> None:
    async with serving() as model:
        await model.ask("completions", prompt=["a", "a"])
        first, second = model.generator.requests
    assert (first.max_tokens, first.num_choices, first.best_of, first.num_logprobs) == (16, 1, 1, None)
    assert (first.sampling.temperature, first.sampling.top_p) == (1.0, 1.0)
    assert first.sampling.seed != second.sampling.seed


async def test_a_suffix_asks_for_the_middle() -> None:
    async with serving() as model:
        await model.ask("completions", prompt="def f(", suffix="):")
        [request] = model.generator.requests
    assert bytes(request.prompt_tokens) == b"Pdef f(S):M"


async def test_a_model_without_fill_tokens_refuses_a_suffix() -> None:
    async with serving(prompting=BytePrompting(can_fill=False)) as model:
        response = await model.ask("completions", prompt="def f(", suffix="):")
    assert response.status_code == 400
    assert error_of(response) == {
        "message": "Unsupported parameter: 'suffix' is not supported with this model.",
        "type": "invalid_request_error",
        "param": "suffix",
        "code": "unsupported_parameter",
    }


async def test_an_instruct_alias_puts_text_prompts_to_the_model_as_a_users_message() -> None:
    async with serving() as model:
        for more in ({}, {"echo": True}, {"logprobs": 0}, {"suffix": "z"}, {"prompt": [97]}):
            body = {"model": "gpt-3.5-turbo-instruct", "prompt": "a", **more}
            assert (await model.client.post("/v1/completions", json=body)).status_code == 200
        prompts = [bytes(request.prompt_tokens) for request in model.generator.requests]
    assert prompts == [b"<user>a<assistant>", b"a", b"a", b"PaSzM", b"a"]


async def test_prompts_are_numbered_before_choices() -> None:
    one = script(
        PromptDone(1, 0),
        TextDelta(0, "a", 1),
        TextDelta(1, "b", 1),
        ChoiceDone(0, "stop", 1, 2),
        ChoiceDone(1, "stop", 1, 2),
        Done(4),
    )
    two = script(
        PromptDone(2, 0),
        TextDelta(0, "c", 1),
        TextDelta(1, "d", 1),
        ChoiceDone(0, "stop", 1, 2),
        ChoiceDone(1, "stop", 1, 2),
        Done(4),
    )
    async with serving(one, two, one, two) as model:
        whole = (await model.ask("completions", prompt=["p", "qq"], n=2, echo=True)).json()
        streamed = chunks_of(
            await model.ask(
                "completions",
                prompt=["p", "qq"],
                n=2,
                echo=True,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert [(c["index"], c["text"]) for c in whole["choices"]] == [
        (0, "pa"),
        (1, "pb"),
        (2, "qqc"),
        (3, "qqd"),
    ]
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11}
    assert streamed[-1]["usage"] == whole["usage"]
    texts = dict.fromkeys(range(4), "")
    for chunk in streamed[:-1]:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == {0: "pa", 1: "pb", 2: "qqc", 3: "qqd"}


async def test_the_stream_is_framed_as_openai_does() -> None:
    async with serving(words("Hi")) as model:
        response = await model.ask("completions", prompt="a", stream=True)
    assert response.headers["content-type"] == "text/event-stream"
    assert [chunk["choices"][0]["text"] for chunk in chunks_of(response)] == ["Hi", ""]


async def test_the_official_client_is_served() -> None:
    async with serving(words("Hi"), words("H", "i")) as model:
        client = model.openai()
        whole = await client.completions.create(model="tiny", prompt="a")
        pieces = [
            chunk async for chunk in await client.completions.create(model="tiny", prompt="a", stream=True)
        ]
    assert whole.choices[0].text == "Hi"
    assert whole.usage is not None and whole.usage.total_tokens == 5
    assert "".join(piece.choices[0].text for piece in pieces) == "Hi"
    assert pieces[-1].choices[0].finish_reason == "stop"


FAULTS = json.loads((Path(__file__).parents[2] / "data" / "completion_faults.json").read_text("utf-8"))


@pytest.mark.parametrize(("changes", "param", "code", "message"), FAULTS, ids=[row[3][:60] for row in FAULTS])
async def test_a_wrong_request_is_refused_in_openais_words(
    changes: dict[str, Any], param: str, code: str | None, message: str
) -> None:
    async with serving() as model:
        response = await model.ask("completions", **({"prompt": "a"} | changes))
        assert model.generator.requests == []
    assert response.status_code == 400
    assert error_of(response) == {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }


async def test_the_tokens_of_a_huge_prompt_are_not_counted_and_the_error_says_so() -> None:
    async with serving() as model:
        counted = await model.ask("completions", prompt="a" * 250_000)
        bounded = await model.ask("completions", prompt="a" * 2_000_000)
    assert "you requested 250016 tokens (250000 in your prompt; 16 for" in error_of(counted)["message"]
    assert "you requested at least 250016 tokens (at least 250000 in your" in error_of(bounded)["message"]


async def test_prompt_and_answer_must_fit_the_context() -> None:
    async with serving(strict_max_tokens=True) as model:
        response = await model.ask("completions", prompt="a" * 4090, max_tokens=16)
        fits = await model.ask("completions", prompt="a" * 4080, max_tokens=16)
    assert fits.status_code == 200
    assert response.status_code == 400
    assert error_of(response) == {
        "message": "This model's maximum context length is 4096 tokens, however you requested 4106 tokens "
        "(4090 in your prompt; 16 for the completion). Please reduce your prompt; or completion length.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


async def test_an_overloaded_model_is_a_503_before_any_byte() -> None:
    async with serving(Overloaded("full")) as model:
        response = await model.ask("completions", prompt="a", stream=True)
    assert response.status_code == 503
    assert response.headers["x-should-retry"] == "true"


@pytest.mark.parametrize("stream", [True, False])
async def test_usage_is_reported_to_the_ledger_once(stream: bool) -> None:
    async with serving(words("a", "b")) as model:
        await model.ask("completions", prompt="a", stream=stream)
        [row] = model.ledger.rows
    assert (row.prompt_tokens, row.completion_tokens, row.outcome) == (3, 3, "completed")
