"""Completions, streamed and whole: the same events must give the same answer, laid out as OpenAI does."""

import json
from typing import Any

import pytest
from openai.types import Completion as SdkCompletion
from tests.api.events import chunks

from myna.api.completions.answer import CompletionAccumulator
from myna.api.completions.chunks import CompletionChunkRenderer
from myna.api.completions.convert import CompletionSpec, EncodedPrompt
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, TokenLogprob

PROMPT = EncodedPrompt((1, 2), "Say hi")
ID, CREATED, MODEL = "cmpl-DPUYBt15CHtILCiy8Xm2esGqlf4jU", 1774968007, "m"


def plan(**changes: Any) -> CompletionSpec:
    shape = {"num_choices": 1, "max_tokens": 16, "echo": False, "num_logprobs": None, "include_usage": False}
    return CompletionSpec(**(shape | changes))


def streamed(
    events: list[Event], answer: CompletionSpec, prompts: list[EncodedPrompt] | None = None
) -> list[dict[str, Any]]:
    return chunks(CompletionChunkRenderer(ID, CREATED, MODEL, prompts or [PROMPT], answer), events)


def whole(
    events: list[Event], answer: CompletionSpec, prompts: list[EncodedPrompt] | None = None
) -> dict[str, Any]:
    accumulator = CompletionAccumulator(ID, CREATED, MODEL, prompts or [PROMPT], answer)
    for event in events:
        accumulator.feed(event)
    parsed: dict[str, Any] = json.loads(b"".join(accumulator.parts()))
    return parsed


def lp(data: bytes, logprob: float | None, *top: tuple[bytes, float]) -> TokenLogprob:
    return TokenLogprob(0, logprob, data, tuple((0, p, text) for text, p in top))


STOPPED: list[Event] = [
    PromptDone(2, 0),
    TextDelta(0, "你", 2),
    TextDelta(0, "好 👋🏽\n", 3),
    ChoiceDone(0, "stop", 1, 6),
    Done(6),
]
CUT: list[Event] = [
    PromptDone(2, 0),
    TextDelta(0, "a", 1),
    TextDelta(0, "b", 1),
    ChoiceDone(0, "length", 0, 2),
    Done(2),
]
TWO_CHOICES: list[Event] = [
    PromptDone(2, 0),
    TextDelta(1, "x", 1),
    TextDelta(0, "a", 1),
    ChoiceDone(1, "stop", 1, 2),
    TextDelta(0, "b", 1),
    ChoiceDone(0, "length", 0, 2),
    Done(4),
]
WITH_LOGPROBS: list[Event] = [
    PromptDone(2, 0),
    TextDelta(0, "Hi", 1, (lp(b"Hi", -1.5, (b"Hello", -0.5), (b"Hi", -1.5)),)),
    TextDelta(0, "é", 2, (lp(b"\xc3", -0.25), lp(b"\xa9", -0.125))),
    ChoiceDone(0, "stop", 1, 4),
    Done(4),
]
SCORED: list[Event] = [
    PromptDone(2, 0, (lp(b"Say", None), lp(b" hi", -2.0, (b" hello", -1.0)))),
    ChoiceDone(0, "length", 0, 0),
    Done(0),
]
FIXTURES: dict[str, tuple[list[Event], CompletionSpec]] = {
    "stopped": (STOPPED, plan()),
    "cut": (CUT, plan(max_tokens=2)),
    "echoed": (CUT, plan(max_tokens=2, echo=True)),
    "two choices": (TWO_CHOICES, plan(num_choices=2, max_tokens=2)),
    "log-probabilities": (WITH_LOGPROBS, plan(num_logprobs=2)),
    "scored": (SCORED, plan(num_logprobs=1, echo=True, max_tokens=0)),
    "empty": ([PromptDone(2, 0), ChoiceDone(0, "stop", 1, 1), Done(1)], plan()),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_streamed_and_whole_answers_are_the_same(name: str) -> None:
    events, answer = FIXTURES[name]
    body = whole(events, answer)
    for choice in body["choices"]:
        mine = [
            c["choices"][0] for c in streamed(events, answer) if c["choices"][0]["index"] == choice["index"]
        ]
        assert "".join(piece["text"] for piece in mine) == choice["text"]
        assert [piece["finish_reason"] for piece in mine if piece["finish_reason"]] == [
            choice["finish_reason"]
        ]
        assert mine[-1]["finish_reason"] == choice["finish_reason"]
        for key, values in (choice["logprobs"] or {}).items():
            assert [value for piece in mine for value in piece["logprobs"][key]] == values


@pytest.mark.parametrize("name", sorted(FIXTURES.keys() - {"scored"}))
def test_the_sdks_types_take_the_answer(name: str) -> None:
    """Except for a scored prompt, whose first null OpenAI sends although its own types deny it."""
    SdkCompletion.model_validate(whole(*FIXTURES[name]), strict=True)


def test_chunk_bytes_are_those_of_the_recording() -> None:
    renderer = CompletionChunkRenderer(ID, CREATED, "davinci:2023-07-21-v2", [PROMPT], plan())
    assert renderer.feed(TextDelta(0, ".\n\n", 1)) == (
        b'data: {"id":"cmpl-DPUYBt15CHtILCiy8Xm2esGqlf4jU","object":"text_completion","created":1774968007,'
        b'"choices":[{"text":".\\n\\n","index":0,"logprobs":null,"finish_reason":null}],'
        b'"model":"davinci:2023-07-21-v2"}\n\n'
    )


def test_whole_body_is_laid_out_as_recorded() -> None:
    accumulator = CompletionAccumulator("cmpl-1", 7, "m", [PROMPT], plan())
    for event in STOPPED:
        accumulator.feed(event)
    assert b"".join(accumulator.parts()).decode() == (
        '{\n  "id": "cmpl-1",\n  "object": "text_completion",\n  "created": 7,\n  "model": "m",\n'
        '  "choices": [\n    {\n      "text": "你好 👋🏽\\n",\n      "index": 0,\n      "logprobs": null,\n'
        '      "finish_reason": "stop"\n    }\n  ],\n  "usage": {\n    "prompt_tokens": 2,\n'
        '    "completion_tokens": 6,\n    "total_tokens": 8\n  }\n}\n'
    )


def test_an_answer_cut_by_length_says_so_in_its_last_text() -> None:
    assert [c["choices"][0] for c in streamed(CUT, plan(max_tokens=2))] == [
        {"text": "a", "index": 0, "logprobs": None, "finish_reason": None},
        {"text": "b", "index": 0, "logprobs": None, "finish_reason": "length"},
    ]


def test_only_the_chunk_with_the_last_token_waits_for_the_end() -> None:
    renderer = CompletionChunkRenderer(ID, CREATED, MODEL, [PROMPT], plan(max_tokens=2))
    assert [bool(renderer.feed(event)) for event in CUT] == [False, True, False, True, False]


def test_an_answer_that_stops_at_its_last_token_has_a_chunk_for_the_end() -> None:
    events: list[Event] = [TextDelta(0, "a", 1), ChoiceDone(0, "stop", 0, 1)]
    assert [c["choices"][0] for c in streamed(events, plan(max_tokens=1))] == [
        {"text": "a", "index": 0, "logprobs": None, "finish_reason": None},
        {"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"},
    ]


def test_usage_is_a_chunk_of_its_own_and_null_elsewhere() -> None:
    *texts, last = streamed(STOPPED, plan(include_usage=True))
    assert all(chunk["usage"] is None for chunk in texts)
    assert list(texts[0]) == ["id", "object", "created", "choices", "model", "usage"]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8}
    assert all("usage" not in chunk for chunk in streamed(STOPPED, plan()))


def test_offsets_count_characters_from_the_prompts_start() -> None:
    logprobs = whole(WITH_LOGPROBS, plan(num_logprobs=2))["choices"][0]["logprobs"]
    assert logprobs == {
        "tokens": ["Hi", "bytes:\\xc3", "bytes:\\xa9"],
        "token_logprobs": [-1.5, -0.25, -0.125],
        "top_logprobs": [{"Hello": -0.5, "Hi": -1.5}, {"bytes:\\xc3": -0.25}, {"bytes:\\xa9": -0.125}],
        "text_offset": [6, 8, 8],
    }


def test_the_final_stop_chunk_has_empty_arrays() -> None:
    last = streamed(WITH_LOGPROBS, plan(num_logprobs=2))[-1]["choices"][0]
    assert last["logprobs"] == {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}


def test_the_scoring_call_gives_the_prompt_and_its_log_probabilities() -> None:
    choice = whole(SCORED, plan(num_logprobs=1, echo=True, max_tokens=0))["choices"][0]
    assert choice["text"] == "Say hi"
    assert choice["finish_reason"] == "length"
    assert choice["logprobs"] == {
        "tokens": ["Say", " hi"],
        "token_logprobs": [None, -2.0],
        "top_logprobs": [None, {" hello": -1.0, " hi": -2.0}],
        "text_offset": [0, 3],
    }


def test_a_beginning_of_document_token_takes_no_room_in_the_prompt() -> None:
    events: list[Event] = [
        PromptDone(3, 0, (lp(b"<bos>", None), lp(b" Say", -1.0), lp(b" hi", -2.0))),
        TextDelta(0, "!", 1, (lp(b"!", -1.0),)),
        ChoiceDone(0, "length", 0, 1),
        Done(1),
    ]
    logprobs = whole(events, plan(num_logprobs=1, echo=True, max_tokens=1))["choices"][0]["logprobs"]
    assert logprobs["text_offset"] == [0, 0, 3, 6]


def test_choices_are_ordered_by_prompt_then_choice() -> None:
    prompts = [EncodedPrompt((1,), "p"), EncodedPrompt((2,), "q")]
    events: list[Event] = [PromptDone(1, 0, (), 1), PromptDone(1, 0, (), 0)]
    events += [TextDelta(i, str(i), 1) for i in (3, 0, 2, 1)]
    events += [ChoiceDone(i, "stop", 1, 2) for i in range(4)]
    events.append(Done(8))
    body = whole(events, plan(num_choices=2, echo=True), prompts)
    assert [(c["index"], c["text"]) for c in body["choices"]] == [(0, "p0"), (1, "p1"), (2, "q2"), (3, "q3")]
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 8, "total_tokens": 10}
    texts = dict.fromkeys(range(4), "")
    for chunk in streamed(events, plan(num_choices=2, echo=True), prompts):
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == {0: "p0", 1: "p1", 2: "q2", 3: "q3"}
