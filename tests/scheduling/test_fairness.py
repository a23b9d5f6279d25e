"""No owner starves another: whatever others send, a new owner's request runs after a bounded number of
steps."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduling.model import GREEDY, Model, prompt

from myna.core.events import PromptDone
from myna.core.requests import GenerationRequest
from myna.engines import fake


def request(
    text: str,
    max_tokens: int = 100,
    *,
    owner: str = "a",
    num_choices: int = 1,
    priority: int = 0,
) -> GenerationRequest:
    return GenerationRequest(
        text,
        prompt(text),
        max_tokens,
        num_choices,
        num_choices,
        sampling=GREEDY,
        ignore_eos=True,
        owner=owner,
        priority=priority,
    )


def num_running(model: Model, owner: str) -> int:
    return sum(sequence.group.request.owner == owner for sequence in model.scheduler.queues.running)


def steps_until_first_text(model: Model, number: int, limit: int = 1000) -> int:
    for step in range(limit):
        if any(not isinstance(event, PromptDone) for event in model.heard[number].events):
            return step
        model.step()
    raise AssertionError("it waits too long")


def test_slots_are_shared_between_owners_and_nobody_notices() -> None:
    model = Model(max_sequences=16)
    many = [model.add(request(f"question {i}", num_choices=8, max_tokens=60)) for i in range(12)]
    for _ in range(10):
        model.step()
    assert num_running(model, "a") == 16
    few = model.add(request("mine", 20, owner="b", num_choices=8))
    assert steps_until_first_text(model, few) <= 3
    for _ in range(8):
        model.step()
    assert num_running(model, "a") == num_running(model, "b") == 8
    model.run()
    alone = Model(max_sequences=64)
    for number in many:
        asked = alone.ask(request(f"question {number}", num_choices=8, max_tokens=60))
        heard = model.heard[number]
        assert [heard.text(choice) for choice in range(8)] == [asked.text(choice) for choice in range(8)]


def test_one_owners_many_sequences_decode_in_turns_while_another_owner_runs() -> None:
    model = Model(max_sequences=128)
    many = [model.add(request(f"many {i}", 60, num_choices=8)) for i in range(10)]
    for _ in range(5):
        model.step()
    assert model.step().num_decodes == 80
    few = model.add(request("few", 40, owner="b"))
    model.step()
    sizes = [model.step().num_decodes for _ in range(30)]
    assert max(sizes) == 33, "32 of the many and one of the few"
    assert model.heard[few].num_tokens() > 30
    counts = [model.heard[number].num_tokens(choice) for number in many for choice in range(8)]
    assert min(counts) > max(counts) / 2, "all of them have their turns"
    model.run()
    for number in many:
        answers = {model.heard[number].text(choice) for choice in range(8)}
        assert answers == {Model().ask(request(f"many {number}", 60)).text()}


def test_one_requests_many_choices_decode_in_turns_while_other_requests_run() -> None:
    model = Model(max_sequences=128)
    many = model.add(request("many", 60, num_choices=64))
    for _ in range(8):
        model.step()
    assert model.step(num_decodes=16).num_decodes == 64, "nobody waits for it"
    few = [model.add(request(f"few {i}", 40)) for i in range(4)]
    pair = model.add(request("pair", 40, num_choices=2))
    for _ in range(3):
        model.step(num_decodes=16)
    before = [model.heard[number].num_tokens() for number in few]
    counts = [model.heard[many].num_tokens(choice) for choice in range(64)]
    sizes = [model.step(num_decodes=16).num_decodes for _ in range(20)]
    assert sizes == [16] * 20
    after = [model.heard[number].num_tokens() for number in few]
    assert [b - a for a, b in zip(before, after, strict=True)] == [20] * 4, "a token in each step"
    pairs = [model.heard[pair].num_tokens(choice) for choice in range(2)]
    assert min(pairs) >= 20
    had = [model.heard[many].num_tokens(choice) - count for choice, count in enumerate(counts)]
    assert set(had) == {3, 4}, "10 in each of 20 steps: all of them have their turns"
    assert {batch.num_decodes for batch in (model.step(num_decodes=2) for _ in range(5))} == {6}
    model.run()
    answers = {model.heard[many].text(choice) for choice in range(64)}
    assert answers == {Model().ask(request("many", 60)).text()}


def test_many_requests_of_one_choice_all_decode_however_long_a_step_is() -> None:
    model = Model(max_sequences=64)
    for number in range(40):
        model.add(request(f"question {number}", 60))
    for _ in range(4):
        model.step()
    assert model.step(num_decodes=16).num_decodes == 40


def test_an_owner_with_its_share_preempts_nobody() -> None:
    model = Model(max_sequences=4)
    for owner in "abcd":
        model.add(request(f"of {owner}", owner=owner))
    model.step()
    model.step()
    late = model.add(request("late", 10, owner="e"))
    for _ in range(50):
        model.step()
    assert model.scheduler.queues.num_preempted == 0
    assert not model.heard[late].events
    model.run()
    assert model.heard[late].is_ended


def test_memory_is_shared_like_slots() -> None:
    model = Model(kv_tokens=1024, max_sequences=64, prefix_cache_tokens=0)
    for i in range(8):
        model.add(request(f"{i} " + "long " * 60, 200))
    for _ in range(5):
        model.step()
    late = model.add(request("short", 10, owner="b"))
    assert steps_until_first_text(model, late) <= 3


def test_a_long_prompt_of_one_owner_does_not_delay_the_first_token_of_another() -> None:
    model = Model(kv_tokens=8192, context_tokens=8192)
    model.add(request("x" * 6000, 10))
    model.step(prompt_tokens=64)
    late = model.add(request("short", 10, owner="b"))
    for _ in range(4):
        model.step(prompt_tokens=64)
    assert model.heard[late].events


def test_a_flood_of_priority_requests_leaves_the_default_tier_a_share() -> None:
    model = Model(max_sequences=8)
    ended: list[int] = []
    mine = [model.add(request(f"usual {i}", 10, owner="b")) for i in range(4)]
    for step in range(400):
        for _ in range(3):
            model.add(request(f"urgent {step} " + "word " * 8, 12, priority=1))
        model.step(prompt_tokens=64)
        ended = [number for number in mine if model.heard[number].is_ended]
        if len(ended) == len(mine):
            break
    assert len(ended) == len(mine)


def test_owners_whose_requests_end_at_once_do_not_pass_one_who_waits() -> None:
    model = Model(prefix_cache_tokens=0)

    def step(number: int) -> None:
        for owner in "xy":
            model.add(request(f"{number:2} {owner} tex", 1, owner=owner, priority=1))
        model.step(prompt_tokens=16)

    for number in range(10):
        step(number)
    mine = model.add(request("m", 5, owner="mine"))
    for number in range(10, 31):
        step(number)
    assert model.heard[mine].events


@dataclass(frozen=True)
class Flood:
    """One request that others send in every few steps."""

    owner: str
    length: int
    max_tokens: int
    num_choices: int
    priority: int
    every: int


floods = st.builds(
    Flood,
    owner=st.sampled_from("xyz"),
    length=st.integers(1, 300),
    max_tokens=st.integers(1, 400),
    num_choices=st.integers(1, 8),
    priority=st.integers(-1, 1),
    every=st.integers(1, 3),
)


@given(
    others=st.lists(floods, min_size=1, max_size=4),
    max_sequences=st.integers(16, 24),
    kv_tokens=st.sampled_from([4096, 16384]),
    warm_up=st.integers(0, 30),
    length=st.integers(1, 100),
    priority=st.integers(0, 1),
    chunk=st.sampled_from([16, 64, 512]),
)
def test_a_new_owners_request_runs_after_a_bounded_number_of_steps(
    others: list[Flood],
    max_sequences: int,
    kv_tokens: int,
    warm_up: int,
    length: int,
    priority: int,
    chunk: int,
) -> None:
    model = Model(kv_tokens, max_sequences=max_sequences, prefix_cache_tokens=0)

    def step(number: int) -> None:
        for index, flood in enumerate(others):
            if number % flood.every == 0:
                text = f"{index} {number} {flood.owner} " + "z" * flood.length
                model.add(
                    request(
                        text,
                        flood.max_tokens,
                        owner=flood.owner,
                        num_choices=flood.num_choices,
                        priority=flood.priority,
                    )
                )
        if not model.scheduler.is_idle:  # others may have sent so little that all of it is done
            model.step(chunk)

    for number in range(warm_up):
        step(number)
    mine = model.add(request("m" * length, 5, owner="mine", priority=priority))
    num_chunks = -(-len(prompt("m" * length)) // chunk)
    urgency = {
        owner: max(f.priority for f in others if f.owner == owner) for owner in {f.owner for f in others}
    }
    turns = 1 + sum(max(1, 4 ** (other - priority)) for other in urgency.values())
    limit = 3 + (num_chunks + 1) * turns
    for number in range(limit):
        if model.heard[mine].events:
            return
        step(warm_up + number)
    assert model.heard[mine].events, f"not within {limit} steps"


def test_the_fake_engines_answers_depend_on_the_prompt() -> None:
    """Otherwise the comparison above would prove nothing."""
    assert fake.script(prompt("question 1"), 20) != fake.script(prompt("question 2"), 20)
