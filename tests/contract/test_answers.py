"""What an answer holds, asked of every generator: stops, log-probabilities, choices, seeds, constraints."""

import asyncio
import json
from typing import Any

import pytest
from tests.contract.answers import Answer
from tests.contract.constraints import json_schema
from tests.contract.rows import GREEDY, Capability, Subject

from myna.core.errors import InvalidRequest
from myna.core.requests import Sampling, Thought

pytestmark = pytest.mark.asyncio(loop_scope="module")

COLOURS = ["red", "green", "blue"]


async def long_answer(subject: Subject, text: str, max_tokens: int = 24, **more: Any) -> Answer:
    """One that does not end before `max_tokens`."""
    subject.require(Capability.IGNORE_EOS)
    return await subject.ask(text, max_tokens, ignore_eos=True, **more)


async def test_an_answer_ends_at_its_length(subject: Subject) -> None:
    answer = await long_answer(subject, "Birds sing because")
    assert answer.end().reason == "length"
    assert answer.text()


async def test_a_request_without_an_answer_computes_its_prompt(subject: Subject) -> None:
    answer = await subject.ask("Only read this.", 0)
    assert len(answer.events) == 3
    assert answer.end().reason == "length"


async def test_an_end_token_ends_the_answer_unless_it_is_ignored(subject: Subject) -> None:
    subject.require(Capability.IGNORE_EOS, Capability.LOGIT_BIAS)
    at_once = Sampling(temperature=0, logit_bias=((subject.generator.info.eos_tokens[0], 100.0),))
    answer = await subject.ask("This ends at once", sampling=at_once)
    assert (answer.text(), answer.end().reason, answer.done.completion_tokens) == ("", "stop", 1)
    answer = await subject.ask("This ends at once", sampling=at_once, ignore_eos=True)
    assert (answer.end().reason, answer.done.completion_tokens) == ("length", 16)


async def test_a_stop_token_ends_the_answer_and_is_not_shown(subject: Subject) -> None:
    subject.require(Capability.LOGIT_BIAS)
    wanted = subject.encode(" is")[-1]
    always = Sampling(temperature=0, logit_bias=((wanted, 100.0),))
    answer = await subject.ask("What", sampling=always, stop_token_ids=(wanted,))
    assert (answer.text(), answer.end().reason, answer.done.completion_tokens) == ("", "stop", 1)


async def test_an_answer_has_its_minimum_of_tokens(subject: Subject) -> None:
    subject.require(Capability.LOGIT_BIAS)
    end = subject.generator.info.eos_tokens[0]
    at_once = Sampling(temperature=0, logit_bias=((end, 100.0),))
    answer = await subject.ask("This ends", sampling=at_once, min_tokens=5)
    assert (answer.end().reason, answer.done.completion_tokens) == ("stop", 6)


async def test_a_repetition_penalty_avoids_what_the_prompt_and_the_answer_contain(subject: Subject) -> None:
    strict = Sampling(temperature=0, repetition_penalty=10.0)
    text = "one two three one two three one two"
    answer = await long_answer(subject, text, 8, sampling=strict, num_logprobs=0)
    tokens = [entry.token for entry in answer.logprobs()]
    assert len(set(tokens)) == len(tokens)
    assert set(tokens).isdisjoint(subject.encode(text))


async def test_a_stop_string_ends_the_choice_and_is_not_shown(subject: Subject) -> None:
    text = (await long_answer(subject, "A story of a bird:", 30)).text()
    for start, size in ((len(text) // 2, 1), (len(text) // 3, 5), (3, 9)):
        stop = text[start : start + size]
        answer = await long_answer(subject, "A story of a bird:", 30, stop=("never in it", stop))
        assert answer.text() == text[: text.index(stop)]
        assert answer.end().reason == "stop"
        assert answer.end().completion_tokens <= 30


async def test_a_stop_string_that_never_comes_holds_nothing_back(subject: Subject) -> None:
    text = (await long_answer(subject, "A story of a bird:", 30)).text()
    answer = await long_answer(subject, "A story of a bird:", 30, stop=(text[-3:] + "and more",))
    assert answer.text() == text


@pytest.mark.parametrize("num_top", [None, 0, 3])
async def test_log_probabilities_come_once_for_each_token_in_order(
    subject: Subject, num_top: int | None
) -> None:
    answer = await long_answer(subject, "Count the tokens:", num_logprobs=num_top)
    entries = answer.logprobs()
    if num_top is None:
        assert entries == []
        return
    assert len(entries) == answer.done.completion_tokens == 24
    assert b"".join(entry.data for entry in entries).decode(errors="ignore").startswith(answer.text())
    for entry in entries:
        assert entry.logprob is not None
        assert entry.logprob <= 0
        assert len(entry.top) == num_top
        ranked = [logprob for _, logprob, _ in entry.top]
        assert ranked == sorted(ranked, reverse=True)
        if num_top:  # it is greedy
            assert (entry.token, entry.logprob, entry.data) == entry.top[0]


async def test_log_probabilities_stop_with_the_text(subject: Subject) -> None:
    whole = await long_answer(subject, "Count to ten:", num_logprobs=0)
    stop = whole.text()[10:14]
    answer = await long_answer(subject, "Count to ten:", num_logprobs=0, stop=(stop,))
    entries = answer.logprobs()
    assert entries == whole.logprobs()[: len(entries)]
    assert len(entries) <= answer.end().completion_tokens < 24
    assert b"".join(entry.data for entry in entries).startswith(answer.text().encode())


@pytest.mark.parametrize("num_top", [0, 2])
async def test_the_prompts_log_probabilities_are_those_of_its_tokens(subject: Subject, num_top: int) -> None:
    subject.require(Capability.PROMPT_LOGPROBS)
    text = "The prompt has log-probabilities, too."
    for _ in range(2):  # the second time it could have been cached
        answer = await subject.ask(text, 2, num_prompt_logprobs=num_top)
        first, *rest = answer.prompt.logprobs
        assert [first.token, *(entry.token for entry in rest)] == list(answer.request.prompt_tokens)
        assert first.logprob is None
        assert all(entry.logprob is not None and entry.logprob <= 0 for entry in rest)
        assert all(len(entry.top) == num_top for entry in rest)
        assert b"".join(entry.data for entry in answer.prompt.logprobs).decode() == text
    assert (await subject.ask(text, 2)).prompt.logprobs == ()


async def test_greedy_choices_are_all_the_same(subject: Subject) -> None:
    alone = (await long_answer(subject, "Several birds")).text()
    answer = await long_answer(subject, "Several birds", num_choices=3)
    assert answer.texts() == [alone] * 3
    assert answer.done.completion_tokens == 3 * 24


async def test_choices_are_drawn_independently(subject: Subject) -> None:
    answer = await long_answer(subject, "Different birds", num_choices=4, sampling=subject.hot())
    assert len(set(answer.texts())) == 4


async def test_the_best_candidates_are_kept_best_first(subject: Subject) -> None:
    subject.require(Capability.BEST_OF)
    answer = await long_answer(
        subject, "The best bird", num_choices=2, best_of=5, sampling=subject.hot(), num_logprobs=0
    )
    means = [
        sum(entry.logprob or 0.0 for entry in answer.logprobs(choice)) / len(answer.logprobs(choice))
        for choice in (0, 1)
    ]
    assert means == sorted(means, reverse=True)
    assert answer.done.completion_tokens == 5 * 24
    unranked = await long_answer(subject, "The best bird", num_choices=5, sampling=subject.hot())
    assert set(answer.texts()) <= set(unranked.texts())


async def test_the_same_seed_gives_the_same_answer_alone_and_with_others(subject: Subject) -> None:
    subject.require(Capability.SEEDS)
    fields: dict[str, Any] = {"sampling": subject.hot(), "num_choices": 2, "num_logprobs": 1}
    alone = await long_answer(subject, "Seeds for birds", **fields)
    beside, *_ = await asyncio.gather(
        long_answer(subject, "Seeds for birds", **fields),
        *(
            long_answer(subject, f"{index} other birds", sampling=Sampling(temperature=2.0))
            for index in range(6)
        ),
    )
    again = await long_answer(subject, "Seeds for birds", **fields)
    for other in (beside, again):
        assert [other.of(0), other.of(1)] == [alone.of(0), alone.of(1)]
    different = await long_answer(subject, "Seeds for birds", sampling=subject.hot(seed=12))
    assert different.text() != alone.text()


@pytest.mark.parametrize("is_hot", [False, True])
async def test_a_constrained_answer_is_valid_under_its_schema(subject: Subject, is_hot: bool) -> None:
    sampling = subject.hot() if is_hot else GREEDY
    subject.require(Capability.CONSTRAINTS)
    constraint = json_schema({"enum": COLOURS})
    answer = await subject.ask("A colour:", 40, constraint=constraint, sampling=sampling, num_choices=3)
    assert all(json.loads(text) in COLOURS for text in answer.texts())
    assert {answer.end(choice).reason for choice in range(3)} == {"stop"}


async def test_a_constraint_that_cannot_be_followed_is_refused_before_the_first_event(
    subject: Subject,
) -> None:
    subject.require(Capability.CONSTRAINTS)
    request = subject.request("A colour:", constraint=json_schema({"type": "colour"}))
    with pytest.raises(InvalidRequest):
        await anext(aiter(await subject.generator.generate(request)))
    assert (await subject.ask("The next one")).text()


async def test_a_constraint_begins_after_the_thought(subject: Subject) -> None:
    subject.require(Capability.CONSTRAINTS, Capability.THOUGHTS)
    thought = Thought("<think>", "</think>", max_tokens=6)
    answer = await subject.ask(
        "A colour, after a thought:", 60, constraint=json_schema({"enum": COLOURS}), thought=thought
    )
    assert answer.thought()
    assert json.loads(answer.text()) in COLOURS
    assert 6 < answer.done.reasoning_tokens < answer.done.completion_tokens


async def test_a_thought_is_separate_from_the_answer_and_has_no_log_probabilities(subject: Subject) -> None:
    subject.require(Capability.THOUGHTS)
    plain = (await long_answer(subject, "Think of a bird")).text()
    answer = await long_answer(
        subject, "Think of a bird", thought=Thought("<none>", "</none>", is_open=True), num_logprobs=0
    )
    assert answer.text() == ""
    assert answer.thought() == plain.strip()
    assert answer.logprobs() == []
    assert answer.done.reasoning_tokens == 24


async def test_predicted_tokens_are_accepted_or_rejected_and_change_no_answer(subject: Subject) -> None:
    subject.require(Capability.PREDICTIONS)
    plain = await long_answer(subject, "Predict the birds", num_logprobs=0)
    tokens = tuple(entry.token for entry in plain.logprobs())
    right = await long_answer(subject, "Predict the birds", prediction_tokens=tokens)
    assert right.text() == plain.text()
    assert right.done.accepted_prediction_tokens == 24
    assert (right.done.rejected_prediction_tokens, right.done.completion_tokens) == (0, 24)
    wrong = await long_answer(subject, "Predict the birds", prediction_tokens=(*tokens[:10], 7, 7, 7, 7))
    assert wrong.text() == plain.text()
    assert wrong.done.accepted_prediction_tokens >= 10
    assert wrong.done.accepted_prediction_tokens + wrong.done.rejected_prediction_tokens == 14
    assert wrong.done.completion_tokens == 24 + wrong.done.rejected_prediction_tokens


async def test_a_collected_answer_is_the_same_answer(subject: Subject) -> None:
    streamed = await long_answer(subject, "Collect the birds", num_choices=2)
    collected = await long_answer(subject, "Collect the birds", num_choices=2, is_collected=True)
    assert [collected.of(0), collected.of(1)] == [streamed.of(0), streamed.of(1)]
    assert collected.done == streamed.done
