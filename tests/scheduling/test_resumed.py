"""Answers that go on from the tokens of an earlier run are those that would have been given without the
break, wherever that was."""

import asyncio

import msgspec
import pytest
from tests.scheduling.model import Model, prompt
from tests.scheduling.resumed import ask, resumed_everywhere, token_ids

from myna.core.constraints import CallableTool, JsonSchema, Regex, ToolCalls
from myna.core.events import ChoiceDone, Done, TextDelta
from myna.core.harmony import ANALYSIS, COMMENTARY, END, MESSAGE, START
from myna.core.requests import GenerationRequest, Sampling, Thought
from myna.engines import fake
from myna.prompts.call_formats.table import FORMATS
from myna.scheduling.in_process import InProcessGenerator

GREEDY = Sampling(temperature=0)
HOT = Sampling(temperature=2.0, seed=3, top_p=0.9)
THOUGHT = Thought("<think>", "</think>")
CHANNELS = Thought(ANALYSIS, END + START, is_harmony=True)
TOOL = CallableTool("pick", '{"type": "object", "properties": {"c": {"enum": ["x"]}}, "required": ["c"]}')
CALL = f'{COMMENTARY} to=functions.pick <|constrain|>json{MESSAGE}{{"c": "x"}}'

REQUESTS: dict[str, tuple[str, dict[str, object]]] = {
    "greedy": ("tell me", {}),
    "seeded": ("tell me", {"sampling": HOT}),
    "several choices": ("tell me", {"sampling": HOT, "num_choices": 3, "best_of": 3, "num_logprobs": 0}),
    "penalties": (
        "tell me",
        {"sampling": Sampling(2.0, seed=1, repetition_penalty=1.3, presence_penalty=1, frequency_penalty=1)},
    ),
    "no early end": ("tell me", {"min_tokens": 20, "sampling": HOT}),
    "characters of several tokens": ("[[say the 鹊 sang 🙂 and 你 heard it]]", {"num_logprobs": 1}),
    "log-probabilities": ("[[say a bird in the hand]]", {"num_logprobs": 3, "sampling": HOT}),
    "a stop string": ("[[say one st two sto three stop four]]", {"stop": ("stop",)}),
    "a stop string that is held back": (
        "[[say one st two sto three stop four]]",
        {"stop": ("stop", "two sty"), "num_logprobs": 0},
    ),
    "a prediction": ("[[say the bird sings]]", {"prediction_tokens": prompt("the bird sings")}),
    "a thought": ("[[say <think>\nit may rain 🙂\n</think>\n\nTake 你 along]]", {"thought": THOUGHT}),
    "a thought with log-probabilities and a stop string": (
        "[[say <think>stop</think>\n\ngo now stop here]]",
        {"thought": THOUGHT, "stop": ("stop",), "num_logprobs": 0},
    ),
    "a thought before a grammar": (
        "[[say <think>which? red!</think>green]]",
        {"thought": THOUGHT, "constraint": JsonSchema('{"enum": ["red", "green", "blue"]}')},
    ),
    "a regular expression": ("free", {"constraint": Regex("[a-z]{3,9}!"), "sampling": HOT}),
    "a tool call": (
        "pick one",
        {
            "constraint": ToolCalls("hermes", (TOOL,), is_required=True),
            "calls": FORMATS["hermes"].marks,
            "stop": ("x",),
        },
    ),
    "a call in channels": (
        f"[[say {CALL}]]",
        {
            "thought": CHANNELS,
            "constraint": ToolCalls("harmony", (TOOL,), is_required=True),
            "calls": FORMATS["harmony"].marks,
        },
    ),
}


def request(text: str, max_tokens: int = 30, **more: object) -> GenerationRequest:
    fields = {"sampling": GREEDY, "max_tokens": max_tokens, **more}
    return GenerationRequest("r", prompt(text), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_answer_goes_on_wherever_it_broke_off(
    name: str, service: InProcessGenerator, other: InProcessGenerator
) -> None:
    text, more = REQUESTS[name]
    what = request(text, 60, **more)
    whole = await resumed_everywhere(what, service, other)
    assert isinstance(whole[-1], Done)
    reported = sum(len(token_ids(whole, choice)) for choice in range(what.num_choices))
    assert reported + whole[-1].rejected_prediction_tokens == whole[-1].completion_tokens


async def test_events_have_token_ids_only_if_they_are_wanted(service: InProcessGenerator) -> None:
    what = request("[[say a bird]]", ignore_eos=True)
    assert not token_ids(await ask(service, what))
    ids = token_ids(await ask(service, msgspec.structs.replace(what, return_token_ids=True)))
    assert ids == fake.script(what.prompt_tokens, what.max_tokens)


def resumed(model: Model, what: GenerationRequest, num_tokens: int) -> int:
    ids = fake.script(what.prompt_tokens, num_tokens)
    return model.add(msgspec.structs.replace(what, output_token_ids=(tuple(ids),)))


def test_tokens_of_the_earlier_run_are_computed_like_a_prompt() -> None:
    what = request("tell me", 40, ignore_eos=True)
    model = Model()
    number = resumed(model, what, 30)
    assert model.heard[number].num_tokens() == 30, "before the next step"
    model.run()
    assert len(model.rows[0][0].tokens) == len(what.prompt_tokens) + 30
    computed = sum(len(row.tokens) for rows in model.rows for row in rows)
    assert computed == len(what.prompt_tokens) + 39, "the last token isn't"
    assert model.heard[number].text() == Model().ask(what).text()


def test_an_answer_whose_end_was_known_needs_no_step() -> None:
    what = request("tell me", 40, ignore_eos=True)
    model = Model()
    number = resumed(model, what, 40)
    assert model.scheduler.is_idle
    assert model.heard[number].events[-1] == Done(40)


def test_a_choice_that_had_ended_is_not_generated_again() -> None:
    what = request("[[say a bird]]", num_choices=2, best_of=2)
    ids = tuple(fake.script(what.prompt_tokens, 10))
    ids = ids[: ids.index(fake.END) + 1]
    model = Model()
    number = model.add(msgspec.structs.replace(what, output_token_ids=(ids, ids[:1])))
    heard = model.heard[number]
    assert [event.choice for event in heard.events if isinstance(event, ChoiceDone)] == [0]
    model.run()
    assert heard.text(0) == heard.text(1) == "a bird"
    assert all(len(rows) == 1 for rows in model.rows)


def test_a_resumed_request_can_be_aborted_while_it_waits() -> None:
    model = Model()
    number = resumed(model, request("tell me", 40, ignore_eos=True), 5)
    model.scheduler.abort(number)
    assert model.scheduler.is_idle
    assert model.ask(request("[[say a bird]]")).text() == "a bird"


def test_resumed_and_new_requests_share_steps_without_a_trace() -> None:
    """In a KV cache that is too small for all, so that they are preempted, too."""
    texts = [f"question {number}" for number in range(12)]
    whats = [request(text, 60, ignore_eos=True) for text in texts]
    model = Model(kv_tokens=256)
    numbers = [resumed(model, what, 5 * index) for index, what in enumerate(whats)]
    model.run(prompt_tokens=32)
    for number, what in zip(numbers, whats, strict=True):
        heard = model.heard[number]
        assert heard.error is None
        assert sum(isinstance(event, TextDelta) for event in heard.events) > 1
        assert heard.text() == Model().ask(what).text()


async def test_many_at_once_go_on(service: InProcessGenerator, other: InProcessGenerator) -> None:
    whats = [request(f"[[say number {number} sings]]", sampling=HOT) for number in range(6)]
    await asyncio.gather(*(resumed_everywhere(what, service, other) for what in whats))
