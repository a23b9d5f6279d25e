"""A draft model changes how many steps an answer takes, and nothing else; it is left alone where it doesn't
pay."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduling.model import Model, prompt
from tests.scheduling.test_properties import free_everything
from tests.scheduling.test_speculation import NEVER, answered, request, requests

from myna.core.requests import GenerationRequest, Sampling
from myna.decoding.grammar import Grammars
from myna.engines.base import BatchRow
from myna.engines.fake import FakeEngine
from myna.scheduling.draft_rates import DraftRates
from myna.scheduling.step_costs import StepPlan
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_fake

SLOPE = 0.02
STORY = "words at random"


class CarelessEngine(FakeEngine):
    """Often takes the second most likely token for the first. `fails`: it can't compute any more."""

    fails = False

    def forward(self, batch: Sequence[BatchRow]) -> "npt.NDArray[np.float32] | object":  # type: ignore[override]
        if self.fails:
            raise RuntimeError("no more")
        return super().forward(batch)

    def _write(self, rows: list[int], first: list[int], second: list[int]) -> npt.NDArray[np.float32]:
        swapped = [token % 4 == 0 for token in first]
        return super()._write(
            rows,
            [two if swap else one for one, two, swap in zip(first, second, swapped, strict=True)],
            [one if swap else two for one, two, swap in zip(first, second, swapped, strict=True)],
        )


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    loaded = load_fake(WorkerSpec("fake", "fake")).prepare_grammars()
    assert loaded is not None
    return loaded


def drafting(kv_tokens: int = 4096, *, careless: bool = False, context_tokens: int = 4096) -> Model:
    kind = CarelessEngine if careless else FakeEngine
    model = Model(draft_engine=kind(context_tokens, kv_tokens, 64))
    model.scheduler.speculation.costs.slope = SLOPE
    return model


def num_steps(model: Model, wanted: GenerationRequest) -> int:
    before = len(model.rows)
    model.ask(wanted)
    return len(model.rows) - before


def story(text: str = STORY, max_tokens: int = 150, **more: object) -> GenerationRequest:
    """An answer that doesn't repeat itself."""
    return request(text, max_tokens, ignore_eos=True, **more)


def test_a_model_that_drafts_for_itself_needs_few_steps() -> None:
    model, wanted = drafting(), story(sampling=Sampling(temperature=1, seed=5))
    assert num_steps(model, wanted) < 150 / 4
    assert model.heard[0].events == [*plain(wanted)]
    free_everything(model)


def plain(wanted: GenerationRequest) -> Sequence[object]:
    model = Model()
    model.scheduler.speculation.costs.slope = NEVER
    return model.ask(wanted).events


def test_a_draft_model_that_often_errs_saves_fewer_steps() -> None:
    model, wanted = drafting(careless=True), story()
    assert 150 / 4 < num_steps(model, wanted) < 100
    assert model.heard[0].events == [*plain(wanted)]


@settings(max_examples=25)
@given(
    wanted=st.lists(requests(), min_size=1, max_size=5),
    kv_blocks=st.integers(14, 60),
    draft_blocks=st.integers(2, 60),
    max_sequences=st.integers(1, 8),
    prefix_cache_tokens=st.sampled_from([0, 100, 2000]),
    chunk=st.sampled_from([1, 16, 256]),
    slope=st.sampled_from([0.0, 0.05]),
    careless=st.booleans(),
)
def test_the_output_is_the_same_with_and_without_a_draft_model(
    grammars: Grammars,
    wanted: list[GenerationRequest],
    kv_blocks: int,
    draft_blocks: int,
    max_sequences: int,
    prefix_cache_tokens: int,
    chunk: int,
    slope: float,
    careless: bool,
) -> None:
    small = (CarelessEngine if careless else FakeEngine)(4096, draft_blocks * 16, max_sequences)
    without = Model(kv_blocks * 16, prefix_cache_tokens=prefix_cache_tokens, grammars=grammars)
    with_one = Model(
        kv_blocks * 16, prefix_cache_tokens=prefix_cache_tokens, grammars=grammars, draft_engine=small
    )
    assert answered(with_one, wanted, slope, chunk) == answered(without, wanted, NEVER, chunk)
    free_everything(with_one)


def test_all_sequences_share_the_draft_models_steps() -> None:
    model = drafting()
    engine, batches = model.draft_engine, list[int]()
    assert engine is not None
    forward = engine.forward
    engine.forward = lambda batch: batches.append(len(batch)) or forward(batch)  # type: ignore
    for number in range(4):
        model.add(story(f"words at random {number}"))
    model.run()
    assert batches.count(4) > 0.5 * len(batches)


def test_a_long_prompt_is_followed_in_chunks_once_the_answer_is_long_enough() -> None:
    model = drafting()
    engine, chunks = model.draft_engine, list[int]()
    assert engine is not None
    forward = engine.forward
    engine.forward = lambda batch: chunks.extend(len(row.tokens) for row in batch) or forward(batch)  # type: ignore
    size = len(prompt("some words " * 80))
    model.ask(story("some words " * 80, size // 16 - 8))
    assert not chunks
    model.ask(story("other words " * 80, 200))
    assert 32 < max(chunks) <= 64
    assert sum(chunk for chunk in chunks if chunk > 32) >= size - 64


def test_candidates_of_a_request_share_what_the_draft_model_computed_of_its_prompt() -> None:
    model = drafting()
    engine = model.draft_engine
    assert engine is not None
    text = "some words " * 40
    number = model.add(story(text, 100, num_choices=4, best_of=4))
    while not model.heard[number].is_ended:
        model.step()
        held = engine.info.kv_tokens - engine.free_tokens
        assert held < 1.5 * len(prompt(text)) + 4 * (100 + 16)


def test_the_next_turn_of_a_conversation_finds_its_prefix() -> None:
    model = drafting()
    engine, rows = model.draft_engine, list[BatchRow]()
    assert engine is not None
    text = "some words " * 80
    first = model.ask(story(text, 60))
    forward = engine.forward
    engine.forward = lambda batch: rows.extend(batch) or forward(batch)  # type: ignore
    model.ask(story(text + first.text() + " and?", 8))
    assert rows and all(len(row.tokens) <= 32 for row in rows)
    rows.clear()
    model.ask(story(text + first.text() + " and?", 8, cache_salt="another"))
    assert not rows


def test_a_draft_model_that_is_slower_than_its_model_is_soon_left_alone() -> None:
    model = Model(draft_engine=FakeEngine(4096, 4096, 64), clock=itertools.count(step=2).__next__)
    costs, engine = model.scheduler.speculation.costs, model.draft_engine
    costs.slope, costs.seconds = SLOPE, 1.0
    assert engine is not None
    forward, batches = engine.forward, list[int]()
    engine.forward = lambda batch: batches.append(len(batch)) or forward(batch)  # type: ignore
    model.ask(story(max_tokens=600))
    assert len(batches) < 0.1 * 600


def test_a_context_beyond_the_draft_models_own_is_computed_without_it() -> None:
    model = drafting(context_tokens=64)
    wanted = story(max_tokens=200)
    assert num_steps(model, wanted) > 140
    assert model.heard[0].events == [*plain(wanted)]


def test_answers_go_on_when_the_draft_model_fails() -> None:
    model, wanted = drafting(careless=True), story()
    assert isinstance(model.draft_engine, CarelessEngine)
    number = model.add(wanted)
    for _ in range(10):
        model.step()
    model.draft_engine.fails = True
    model.run()
    assert model.heard[number].events == [*plain(wanted)]
    assert [str(error) for error in model.draft_failures] == ["no more"]


def test_a_draft_is_promised_what_it_yields_beyond_its_cost() -> None:
    rates, alone = DraftRates(), StepPlan(1, 1)
    rates.rate = 0.5
    assert rates.promise(alone, 0.6, 8) == 0
    assert rates.promise(alone, 0.3, 8) == pytest.approx(0.5 - 0.3)
    assert rates.promise(alone, 0.1, 8) == pytest.approx(0.5 + 0.25 + 0.125 - 0.3)
    assert rates.promise(alone, 0.1, 1) == pytest.approx(0.4)
    assert rates.promise(StepPlan(4, 1), 0.1, 8) == pytest.approx(0.1)


def test_rates_follow_what_is_accepted_and_are_forgotten_slowly() -> None:
    rates = DraftRates()
    for _ in range(200):
        rates.compare(0.95, is_first=True, is_right=False)
        rates.compare(0.1, is_first=False, is_right=True)
        rates.observe_cost(0.9)
    assert rates.rate < 0.01 and rates.acceptance(0.95) < 0.01 and rates.acceptance(0.1) > 0.99
    assert 0.8 < rates.cost < 1
    assert rates.promise(StepPlan(1, 1), rates.cost, 8) == 0
    for _ in range(2000):
        rates.forget()
    assert rates.promise(StepPlan(1, 1), rates.cost, 8) > 0
