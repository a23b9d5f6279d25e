"""Chat completions, streamed and whole: the same events, the same answer, laid out as OpenAI does."""

import json
import re
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.api.events import chunks, rendered

from myna.api.chat.answer import ChatCompletionAccumulator
from myna.api.chat.chunks import ChatChunkRenderer
from myna.api.chat.response_spec import ResponseSpec
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, TokenLogprob


def plan(**changes: Any) -> ResponseSpec:
    shape: dict[str, Any] = {
        "id": "chatcmpl-1",
        "created": 7,
        "model": "模型",
        "service_tier": "default",
        "fingerprint": "fp_560af6e559",
    }
    return ResponseSpec(**(shape | changes))


def streamed(events: list[Event], shape: ResponseSpec) -> list[dict[str, Any]]:
    return chunks(ChatChunkRenderer(shape), events)


def whole(events: list[Event], shape: ResponseSpec) -> dict[str, Any]:
    accumulator = ChatCompletionAccumulator(shape)
    for event in events:
        accumulator.feed(event)
    parsed: dict[str, Any] = json.loads(b"".join(accumulator.parts()))
    return parsed


HI = TokenLogprob(1, -0.5, b"Hi", ((1, -0.5, b"Hi"), (2, -1.0, b"\xf0\x9f")))
STOPPED: list[Event] = [
    PromptDone(9, 4),
    TextDelta(0, "你", 2),
    TextDelta(0, '好 "👋🏽"\n', 3),
    ChoiceDone(0, "stop", 1, 6),
    Done(6, 1, 2),
]
TWO_CHOICES: list[Event] = [
    PromptDone(9, 0),
    TextDelta(0, "a", 1),
    TextDelta(1, "x", 1),
    ChoiceDone(1, "stop", 1, 2),
    TextDelta(0, "b", 1),
    ChoiceDone(0, "length", 0, 2),
    Done(4),
]
WITH_LOGPROBS: list[Event] = [
    PromptDone(9, 0),
    TextDelta(0, "Hi", 1, (HI,)),
    ChoiceDone(0, "stop", 1, 2),
    Done(2),
]
FIXTURES: dict[str, tuple[list[Event], ResponseSpec]] = {
    "stopped": (STOPPED, plan()),
    "plain": (STOPPED, plan(obfuscate=False, fingerprint=None)),
    "two choices": (TWO_CHOICES, plan(num_choices=2)),
    "log-probabilities": (WITH_LOGPROBS, plan(wants_logprobs=True)),
    "empty": ([PromptDone(9, 0), ChoiceDone(0, "stop", 1, 1), Done(1)], plan()),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_streamed_and_whole_answers_are_the_same(name: str) -> None:
    events, shape = FIXTURES[name]
    body = whole(events, shape)
    pieces = streamed(events, shape)
    assert {chunk["id"] for chunk in pieces} == {body["id"]}
    for choice in body["choices"]:
        mine = [c["choices"][0] for c in pieces if c["choices"][0]["index"] == choice["index"]]
        assert "".join(piece["delta"].get("content", "") for piece in mine) == choice["message"]["content"]
        assert [piece["delta"].get("role") for piece in mine].count("assistant") == 1
        assert [piece["finish_reason"] for piece in mine if piece["finish_reason"]] == [
            choice["finish_reason"]
        ]
        if choice["logprobs"]:
            content = [entry for piece in mine if piece["logprobs"] for entry in piece["logprobs"]["content"]]
            assert content == choice["logprobs"]["content"]


@pytest.mark.parametrize("name", FIXTURES)
def test_the_sdks_types_take_the_answer(name: str) -> None:
    events, shape = FIXTURES[name]
    ChatCompletion.model_validate(whole(events, shape), strict=True)
    for chunk in streamed(events, shape):
        ChatCompletionChunk.model_validate(chunk, strict=True)


def test_whole_body_is_laid_out_as_recorded() -> None:
    accumulator = ChatCompletionAccumulator(plan())
    for event in STOPPED:
        accumulator.feed(event)
    assert b"".join(accumulator.parts()).decode() == (
        '{\n  "id": "chatcmpl-1",\n  "object": "chat.completion",\n  "created": 7,\n  "model": "模型",\n'
        '  "choices": [\n    {\n      "index": 0,\n      "message": {\n        "role": "assistant",\n'
        '        "content": "你好 \\"👋🏽\\"\\n",\n        "refusal": null,\n'
        '        "annotations": []\n      },\n'
        '      "logprobs": null,\n      "finish_reason": "stop"\n    }\n  ],\n  "usage": {\n'
        '    "prompt_tokens": 9,\n    "completion_tokens": 6,\n    "total_tokens": 15,\n'
        '    "prompt_tokens_details": {\n      "cached_tokens": 4,\n      "audio_tokens": 0\n    },\n'
        '    "completion_tokens_details": {\n      "reasoning_tokens": 0,\n      "audio_tokens": 0,\n'
        '      "accepted_prediction_tokens": 1,\n      "rejected_prediction_tokens": 2\n    }\n  },\n'
        '  "service_tier": "default",\n  "system_fingerprint": "fp_560af6e559"\n}\n'
    )


def test_chunks_are_laid_out_as_recorded() -> None:
    renderer = ChatChunkRenderer(plan(model="m", obfuscate=False))
    head = (
        '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","service_tier":"default",'
        '"system_fingerprint":"fp_560af6e559","choices":[{"index":0,"delta":'
    )
    sent = b"".join(rendered(renderer, event) for event in STOPPED).decode()
    rest = ',"logprobs":null,"finish_reason":null}]}'
    assert sent.split("\n\n") == [
        f'data: {head}{{"role":"assistant","content":"","refusal":null}}{rest}',
        f'data: {head}{{"content":"你"}}{rest}',
        f'data: {head}{{"content":"好 \\"👋🏽\\"\\n"}}{rest}',
        f'data: {head}{{}},"logprobs":null,"finish_reason":"stop"}}]}}',
        "",
    ]
    assert renderer.end() == b""


@pytest.mark.parametrize("include_usage", [True, False])
@pytest.mark.parametrize("name", sorted(FIXTURES.keys() - {"plain"}))
def test_every_chunk_is_padded_to_a_multiple_of_sixteen_characters(name: str, include_usage: bool) -> None:
    events, shape = FIXTURES[name]
    shape = plan(
        num_choices=shape.num_choices, wants_logprobs=shape.wants_logprobs, include_usage=include_usage
    )
    renderer = ChatChunkRenderer(shape)
    lines = (
        b"".join([*(rendered(renderer, event) for event in events), renderer.end()]).decode().split("\n\n")
    )
    assert lines.pop() == ""
    for line in lines:
        found = re.fullmatch(r'data: (.*),"obfuscation":"([0-9A-Za-z]{0,15})"\}', line)
        assert found
        assert (len(found[1]) + 1 + len(found[2])) % 16 == 0


def test_usage_is_a_chunk_of_its_own_and_null_elsewhere() -> None:
    *texts, last = streamed(STOPPED, plan(include_usage=True))
    assert all(chunk["usage"] is None for chunk in texts)
    keys = "id object created model service_tier system_fingerprint choices usage obfuscation"
    assert list(last) == keys.split()
    assert last["choices"] == []
    assert last["usage"] == whole(STOPPED, plan())["usage"]
    assert all("usage" not in chunk for chunk in streamed(STOPPED, plan()))


def test_of_several_choices_each_begins_with_its_role_and_the_finals_come_last_in_order() -> None:
    told = [chunk["choices"][0] for chunk in streamed(TWO_CHOICES, plan(num_choices=2))]
    assert [
        (c["index"], c["delta"].get("role"), c["delta"].get("content"), c["finish_reason"]) for c in told
    ] == [
        (0, "assistant", "", None),
        (0, None, "a", None),
        (1, "assistant", "", None),
        (1, None, "x", None),
        (0, None, "b", None),
        (0, None, None, "length"),
        (1, None, None, "stop"),
    ]


def test_log_probabilities_carry_true_bytes() -> None:
    entry = whole(WITH_LOGPROBS, plan(wants_logprobs=True))["choices"][0]["logprobs"]
    assert entry == {
        "content": [
            {
                "token": "Hi",
                "logprob": -0.5,
                "bytes": [72, 105],
                "top_logprobs": [
                    {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]},
                    {"token": "\\xf0\\x9f", "logprob": -1.0, "bytes": [240, 159]},
                ],
            }
        ],
        "refusal": None,
    }
    told = [chunk["choices"][0]["logprobs"] for chunk in streamed(WITH_LOGPROBS, plan(wants_logprobs=True))]
    assert told == [{"content": [], "refusal": None}, entry, None]
