"""Guessed tokens change how soon an answer comes and nothing in its events."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scheduling.model import GREEDY, TOKEN_TABLE, Driver, Model, prompt, spoken
from tests.scheduling.test_properties import free_everything

from myna.core.constraints import Constraint, JsonSchema, Regex
from myna.core.errors import MynaError
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.decoding.grammar import Grammars
from myna.engines import fake
from myna.engines.fake import FakeEngine
from myna.scheduling.step_costs import StepCosts
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_fake

ALWAYS, NEVER = 0.0, 1e9  # the slope of a step's time: guesses cost nothing, or far too much
CHANT = "the bird said so and the wind said so too, "
CONSTRAINTS: tuple[Constraint, ...] = (
    Regex("( the bird said so,?){2,6}!"),
    JsonSchema('{"enum": ["the bird said so", "the wind said so"]}'),
)


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    loaded = load_fake(WorkerSpec("fake", "fake")).prepare_grammars()
    assert loaded is not None
    return loaded


def request(text: str, max_tokens: int = 60, **more: object) -> GenerationRequest:
    fields: dict[str, object] = {"sampling": GREEDY, **more}
    return GenerationRequest("r", prompt(text), max_tokens, **fields)  # type: ignore[arg-type]


def answered(model: Driver, requests: list[GenerationRequest], slope: float, chunk: int = 64) -> list[object]:
    """All events of each request, by choice."""
    model.scheduler.speculation.costs.slope = slope
    for wanted in requests:
        model.add(wanted)
    model.run(chunk)
    return [told(heard.events, heard.error) for heard in model.heard.values()]


def told(events: list[Event], error: MynaError | None) -> object:
    """How much of a prompt came from the cache depends on who computed what before."""
    choices: dict[int, list[Event]] = {}
    rest: list[Event] = []
    for event in events:
        if isinstance(event, TextDelta | ChoiceDone):
            choices.setdefault(event.choice, []).append(event)
        elif isinstance(event, PromptDone):
            rest.append(msgspec.structs.replace(event, cached_tokens=0))
        else:
            rest.append(event)
    return repr((sorted(choices.items()), rest, error))


def test_a_text_that_repeats_its_prompt_takes_fewer_steps() -> None:
    model = Model()
    said = CHANT * 6
    answers = answered(model, [request(f"[[say {said}]]", 200)], ALWAYS)
    assert model.heard[0].text() == said
    assert len(model.rows) < 0.4 * len(prompt(said))
    assert answers == answered(Model(), [request(f"[[say {said}]]", 200)], NEVER)


def test_a_sequence_alone_may_fill_two_tiles_and_two_share_them() -> None:
    said = CHANT * 12
    for number, most in ((1, 32), (2, 16)):
        model = Model()
        answered(model, [request(f"[[say {said}]]{index}", 600) for index in range(number)], 0.01, 4096)
        assert model.heard[0].text().startswith(said)
        sizes = [len(row.tokens) for rows in model.rows[1:] if len(rows) == number for row in rows]
        assert max(sizes) == most


def num_steps(model: Model, owner: str = "a", salt: str = "p") -> int:
    """For an answer of 150 tokens that doesn't repeat itself."""
    before = len(model.rows)
    model.ask(request("words at random", 150, ignore_eos=True, owner=owner, cache_salt=salt))
    return len(model.rows) - before


def test_what_one_answer_contained_is_proposed_for_the_next_one() -> None:
    model = Model(prefix_cache_tokens=0)
    model.scheduler.speculation.costs.slope = 0.05
    assert num_steps(model) > 140
    assert [num_steps(model) for _ in range(3)][-1] < 50


def test_no_answer_is_faster_because_of_another_clients() -> None:
    model = Model(prefix_cache_tokens=0)
    model.scheduler.speculation.costs.slope = 0.05
    for _ in range(4):
        num_steps(model)
    assert num_steps(model, "b", "p") > 140
    assert num_steps(model, "a", "q") > 140


def test_what_is_computed_beyond_a_stop_string_is_kept_for_nobody() -> None:
    model = Model()
    answered(model, [request(f"[[say {CHANT * 3}]]", 200, stop=("too, the bird said so and",))], ALWAYS)
    known = len(prompt(f"[[say {CHANT * 3}]]")) + model.heard[0].num_tokens()
    assert model.scheduler.queues.kv_cache.prefix_cache.num_tokens in (known - 1, known)
    model.ask(request(f"[[say {CHANT * 3}]]", 200))
    assert model.heard[1].text() == CHANT * 3


def test_nothing_is_guessed_where_many_run() -> None:
    model = Model()
    answered(model, [request(f"[[say {CHANT * 3}]]{index}", 100) for index in range(9)], ALWAYS)
    full = [rows for rows in model.rows[1:] if len(rows) == 9]
    assert full
    assert all(len(row.tokens) == 1 for rows in full for row in rows)


def test_a_guess_that_does_not_pay_is_not_made() -> None:
    model = Model()
    answered(model, [request(f"[[say {CHANT * 3}]]", 100)], 1.0)  # two tokens take as long as two steps
    assert all(len(row.tokens) == 1 for rows in model.rows[1:] for row in rows)


def test_unrepetitive_text_is_soon_left_alone() -> None:
    model = Model()
    model.ask(request("words at random", 600, ignore_eos=True))
    proposed = sum(len(row.tokens) - 1 for rows in model.rows[1:] for row in rows)
    assert proposed < 12


def test_a_prediction_is_counted_by_the_texts_alone() -> None:
    said = "one look at the old tree and one look at the small bird"
    right, other = prompt(said), prompt(said.replace("old", "large"))
    for slope in (ALWAYS, NEVER):
        model = Model()
        for prediction in (right, other, prompt("@#@#"), ()):
            model.add(request(f"[[say {said}]]", 100, prediction_tokens=prediction))
        model.scheduler.speculation.costs.slope = slope
        model.run()
        size = len(right) + 1  # and the end
        totals = [heard.events[-1] for heard in model.heard.values()]
        assert totals[0] == Done(size, len(right), 0)
        # After a difference the first word is what the answer is found by again.
        assert totals[1] == Done(size + 2, len(other) - 2, 2)
        assert totals[2] == Done(size + len(prompt("@#@#")), 0, len(prompt("@#@#")))
        assert totals[3] == Done(size, 0, 0)


def test_a_prediction_saves_the_steps_that_the_prompt_could_not() -> None:
    said = "every one of these words is new and no three come again before the end"
    hidden = "[[say " + said + "]]"
    plain, predicted = Model(), Model()
    answered(plain, [request(hidden, 100)], 0.1)
    answered(predicted, [request(hidden, 100, prediction_tokens=prompt(said))], 0.1)
    assert predicted.heard[0].text() == plain.heard[0].text() == said
    assert len(predicted.rows) < len(plain.rows)


@st.composite
def requests(draw: st.DrawFn) -> GenerationRequest:
    line = draw(
        st.lists(st.sampled_from([" the bird said so", ",", " and", "!", " é🙂", " STOP"]), max_size=20)
    )
    said = "".join(line).strip() or "so"
    text = draw(st.sampled_from([f"[[say {said}]]", CHANT * 2 + "?", f"{said} {said} {said}"]))
    num_choices = draw(st.integers(1, 2))
    constraint: Constraint | None = None
    if draw(st.integers(0, 3)) == 0:
        constraint = draw(st.sampled_from(CONSTRAINTS))
    prediction = draw(st.sampled_from(["", said, said.replace("bird", "tree"), CHANT]))
    sampling = Sampling(
        temperature=draw(st.sampled_from([0.0, 1.0, 4.0])),
        top_p=draw(st.sampled_from([1.0, 0.9])),
        repetition_penalty=draw(st.sampled_from([1.0, 1.0, 1.3])),
        presence_penalty=draw(st.sampled_from([0.0, 0.0, 1.5])),
        frequency_penalty=draw(st.sampled_from([0.0, 0.0, 2.0])),
        seed=draw(st.integers(0, 99)),
    )
    max_tokens = draw(st.integers(1, 50))
    return GenerationRequest(
        id="r",
        prompt_tokens=prompt(text),
        max_tokens=max_tokens,
        num_choices=num_choices,
        best_of=num_choices + draw(st.integers(0, 1)),
        sampling=sampling,
        stop=draw(st.sampled_from([(), ("STOP",), ("so and", "!,")])),
        stop_token_ids=draw(st.sampled_from([(), (), prompt("!"), prompt("s,")])),
        min_tokens=draw(st.sampled_from([0, 0, 1, max_tokens // 2, max_tokens])),
        num_logprobs=draw(st.sampled_from([None, 0, 2])),
        constraint=constraint,
        ignore_eos=constraint is None and draw(st.booleans()),
        prediction_tokens=prompt(prediction),
    )


@given(
    wanted=st.lists(requests(), min_size=1, max_size=5),
    kv_blocks=st.integers(14, 60),
    prefix_cache_tokens=st.sampled_from([0, 100, 2000]),
    chunk=st.sampled_from([1, 16, 256]),
    slope=st.sampled_from([ALWAYS, 0.05, 0.2]),
)
def test_the_output_is_the_same_with_and_without_guesses(
    grammars: Grammars,
    wanted: list[GenerationRequest],
    kv_blocks: int,
    prefix_cache_tokens: int,
    chunk: int,
    slope: float,
) -> None:
    plain = Model(kv_blocks * 16, prefix_cache_tokens=prefix_cache_tokens, grammars=grammars)
    guessing = Model(kv_blocks * 16, prefix_cache_tokens=prefix_cache_tokens, grammars=grammars)
    assert answered(guessing, wanted, slope, chunk) == answered(plain, wanted, NEVER, chunk)
    free_everything(guessing)


@given(slope=st.floats(0.02, 1.5), seed=st.integers(0, 9))
def test_the_slope_is_found_whatever_single_steps_take(slope: float, seed: int) -> None:
    costs = StepCosts()
    draw = random.Random(seed).random
    for step in range(400):
        num_tokens = 1 + 5 * (step % 3)
        disturbance = 30.0 if draw() < 0.1 else 1.0
        costs.observe(num_tokens, 0.01 * (1 + slope * (num_tokens - 1)) * disturbance)
    assert slope / 1.6 < costs.slope < slope * 1.6


def test_steps_of_nearly_one_size_leave_the_slope_alone() -> None:
    """As those of a batch, which has about 32 sequences, and now and then another request."""
    costs, draw = StepCosts(), random.Random(1)
    observed = list[float]()
    for step in range(4000):
        num_tokens = draw.randint(30, 32) if step % 50 else 1
        costs.observe(num_tokens, (1 + 0.05 * (num_tokens - 1)) * draw.lognormvariate(0, 0.25))
        observed.append(costs.slope)
    assert min(observed[500:]) > 0.02 and max(observed[500:]) < 0.1


def test_steps_of_one_size_say_nothing_about_the_slope() -> None:
    costs = StepCosts()
    before = costs.slope
    for seconds in (0.1, 0.5, 0.01):
        costs.observe(4, seconds)
    assert costs.slope == before


def test_what_is_spoken_is_what_the_script_says() -> None:
    text = CHANT * 2 + "?"
    model = Model()
    answered(model, [request(text, 80, ignore_eos=True)], ALWAYS)
    assert model.heard[0].text() == spoken(fake.script(prompt(text), 80))


def test_an_engine_that_cannot_trim_is_given_no_guesses() -> None:
    engine = FakeEngine(4096, 4096, 8)
    engine.can_trim = False
    driver = Driver(engine, TOKEN_TABLE)
    answered(driver, [request(f"[[say {CHANT * 3}]]", 100)], ALWAYS)
    assert driver.heard[0].text() == CHANT * 3
    assert all(len(row.tokens) == 1 for rows in driver.rows[1:] for row in rows)
