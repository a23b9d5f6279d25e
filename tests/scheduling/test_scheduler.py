"""The scheduler's promises, step by step over the fake engine: no thread, no clock."""

import gc

from tests.scheduling.model import GREEDY, Model, prompt, spoken

from myna.core.errors import GenerationFailed
from myna.core.events import ChoiceDone, Done, PromptDone, TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.engines import fake
from myna.scheduling.sequence import Sequence, SequenceGroup


def request(text: str, max_tokens: int = 20, **more: object) -> GenerationRequest:
    fields: dict[str, object] = {"sampling": GREEDY, "ignore_eos": True, **more}
    return GenerationRequest(text, prompt(text), max_tokens, **fields)  # type: ignore[arg-type]


def script(text: str, num_tokens: int) -> str:
    return spoken(fake.script(prompt(text), num_tokens))


def test_decodes_come_first_together_with_a_prompts_chunk() -> None:
    model = Model()
    model.add(request("short", 50))
    model.step()
    long = "x" * 100
    model.add(request(long, 5))
    for size in (30, 30, 30, 10):
        batch = model.step(prompt_tokens=30)
        assert [len(row.tokens) for row in batch.rows] == [1, size]
    model.run()
    assert model.heard[0].text() == script("short", 50)
    assert model.heard[1].text() == script(long, 5)


def test_prompts_share_a_steps_budget_in_order_of_arrival() -> None:
    model = Model()
    for index in range(3):
        model.add(request(f"{index}" * 20, 5))
    batch = model.step(prompt_tokens=50)
    assert [len(row.tokens) for row in batch.rows] == [20, 20, 10]
    assert [row.logits_from for row in batch.rows] == [19, 19, 10]


def test_chunks_of_prompts_fill_whole_tiles() -> None:
    """With the decodes beside them, a step's rows are a multiple of 32, except at a prompt's end."""
    model = Model()
    model.add(request("short", 50))
    model.step()
    model.add(request("x" * 150, 5))
    sizes = [[len(row.tokens) for row in model.step(prompt_tokens=70).rows] for _ in range(3)]
    assert sizes == [[1, 63], [1, 63], [1, 24]]


def test_steps_without_decodes_compute_more_of_a_prompt() -> None:
    model = Model()
    model.add(request("x" * 300, 5))
    scheduler = model.scheduler
    assert [len(row.tokens) for row in scheduler.schedule(64, 0.0, 256).rows] == [256]
    other = Model()
    other.add(request("short", 50))
    other.step()
    other.add(request("x" * 300, 5))
    assert [len(row.tokens) for row in other.scheduler.schedule(65, 0.0, 256).rows] == [1, 63]


def test_a_new_request_joins_and_an_ended_one_leaves_at_once() -> None:
    model = Model()
    model.add(request("first", 3))
    model.step()
    model.add(request("second", 30))
    sizes = [len(model.step().rows) for _ in range(4)]
    assert sizes == [2, 2, 1, 1]
    assert len(model.scheduler.queues.running) == 1


def test_a_common_beginning_is_computed_once() -> None:
    model = Model()
    shared = "the bird said so " * 10
    first = model.ask(request(shared + "x1..."))
    second = model.ask(request(shared + "x2..."))
    assert first.prompt_done.cached_tokens == 0
    assert second.prompt_done.cached_tokens == len(prompt(shared + "x"))
    assert second.text() == script(shared + "x2...", 20)


def test_those_who_come_together_wait_for_one_to_compute_what_they_share() -> None:
    model = Model()
    shared = "s" * 300
    for index in range(8):
        model.add(request(f"{shared} and {index}", 4))
    model.run(prompt_tokens=64)
    computed = sum(len(row.tokens) for rows in model.rows for row in rows)
    assert computed < 300 + 8 * 40
    for index in range(8):
        assert model.heard[index].text() == script(f"{shared} and {index}", 4)
    assert [heard.prompt_done.cached_tokens >= 288 for heard in model.heard.values()] == [False, *[True] * 7]


def test_an_answer_is_reused_when_the_conversation_goes_on() -> None:
    model = Model()
    first = model.ask(request("a question of some length, long enough", 40))
    again = prompt("a question of some length, long enough") + tuple(
        fake.script(prompt("a question of some length, long enough"), 40)
    )
    second = model.ask(GenerationRequest("b", (*again, 32), 5, sampling=GREEDY, ignore_eos=True))
    assert first.is_ended
    # Its last token was drawn and never computed.
    assert second.prompt_done.cached_tokens == len(again) - 1


def test_at_least_one_token_of_a_known_prompt_is_computed() -> None:
    model = Model()
    text = "t" * 64
    model.ask(request(text))
    assert model.ask(request(text)).prompt_done.cached_tokens == 63


def test_tenants_with_different_salts_share_nothing() -> None:
    model = Model()
    text = "secret " * 20
    model.ask(request(text, cache_salt="a"))
    assert model.ask(request(text, cache_salt="b")).prompt_done.cached_tokens == 0
    assert model.ask(request(text, cache_salt="a")).prompt_done.cached_tokens > 0


def test_prompt_logprobs_are_computed_in_chunks_and_from_the_start() -> None:
    model = Model()
    text = "p" * 300
    model.ask(request(text))
    done = model.ask(request(text, 1, num_prompt_logprobs=2), prompt_tokens=512).prompt_done
    assert done.cached_tokens == 0
    assert max(len(row.tokens) - row.logits_from for rows in model.rows for row in rows) == 128
    assert [logprob.token for logprob in done.logprobs] == list(prompt(text))
    assert done.logprobs[0].logprob is None
    for position in (1, 127, 128, 129, 299):
        entry = done.logprobs[position]
        assert entry.logprob is not None
        assert entry.top[0][0] == fake.script(prompt(text)[:position], 1)[0]


def test_scoring_a_prompt_alone_draws_nothing() -> None:
    model = Model()
    heard = model.ask(request("score this", 0, num_prompt_logprobs=0))
    assert [type(event) for event in heard.events] == [PromptDone, ChoiceDone, Done]
    assert heard.events[1:] == [ChoiceDone(0, "length", 0, 0), Done(0)]
    assert len(heard.prompt_done.logprobs) == len(prompt("score this"))


def test_several_choices_compute_their_prompt_once() -> None:
    model = Model()
    heard = model.ask(request("q" * 100, 10, num_choices=4, best_of=4))
    assert sum(len(row.tokens) for row in model.rows[0]) == 100
    assert all(len(rows) == 4 for rows in model.rows[1:])
    assert [heard.text(choice) for choice in range(4)] == [script("q" * 100, 10)] * 4
    assert heard.events[-1] == Done(40)


def test_many_choices_begin_to_decode_a_few_per_step() -> None:
    model = Model(max_sequences=64)
    heard = model.ask(request("q" * 100, 10, num_choices=40, best_of=40))
    assert [len(rows) for rows in model.rows[1:4]] == [16, 32, 40]
    assert max(sum(row.start == 100 for row in rows) for rows in model.rows) == 16
    assert [heard.text(choice) for choice in range(40)] == [script("q" * 100, 10)] * 40


def test_many_prompts_decode_at_once() -> None:
    model = Model(max_sequences=64)
    for i in range(40):
        model.add(request(f"{i:02}"))
    model.step()
    assert len(model.step().rows) == 40


def test_more_choices_than_the_engine_has_sequences_still_all_answer() -> None:
    model = Model(max_sequences=3)
    heard = model.ask(request("q" * 40, 10, num_choices=8, best_of=8))
    assert [heard.text(choice) for choice in range(8)] == [script("q" * 40, 10)] * 8


def test_the_best_candidates_are_returned_when_all_have_ended() -> None:
    model = Model()
    hot = Sampling(temperature=2.0, seed=7)
    heard = model.ask(request("rank", 12, num_choices=2, best_of=6, sampling=hot, num_logprobs=0))
    assert isinstance(heard.events[0], PromptDone)
    assert len(model.rows) == 12
    means = []
    for choice in range(2):
        logprobs = [
            entry.logprob or 0.0
            for event in heard.events
            if isinstance(event, TextDelta) and event.choice == choice
            for entry in event.logprobs
        ]
        means.append(sum(logprobs) / len(logprobs))
    assert means == sorted(means, reverse=True)
    assert heard.events[-1] == Done(72)
    assert [event.choice for event in heard.events if isinstance(event, ChoiceDone)] == [0, 1]


def test_an_abort_frees_its_room_before_the_next_step() -> None:
    model = Model(prefix_cache_tokens=0)
    number = model.add(request("a" * 100, 500, num_choices=3, best_of=3))
    for _ in range(5):
        model.step()
    model.scheduler.abort(number)
    assert model.scheduler.is_idle
    assert model.engine.free_tokens == model.engine.info.kv_tokens


def test_aborting_what_waits_or_is_unknown_is_fine() -> None:
    model = Model()
    number = model.add(request("waits"))
    model.scheduler.abort(number)
    model.scheduler.abort(number)
    model.scheduler.abort(99)
    assert model.scheduler.is_idle


def test_out_of_room_the_youngest_is_put_aside_and_answers_the_same() -> None:
    model = Model(kv_tokens=256)
    texts = [f"{index} asks for a lot" for index in range(4)]
    for text in texts:
        model.add(request(text, 120))
    model.run()
    assert model.num_out_of_room > 0
    for number, text in enumerate(texts):
        assert model.heard[number].text() == script(text, 120)
        assert model.heard[number].num_tokens() == 120
    ends = [len(heard.events) for heard in model.heard.values()]
    assert all(ends)


def test_one_request_may_use_all_the_room_there_is() -> None:
    model = Model(kv_tokens=256)
    model.ask(request("before", 100))
    heard = model.ask(request("x" * 200, 56))
    assert heard.text() == script("x" * 200, 56)


def test_owners_take_turns_and_urgent_requests_go_first() -> None:
    model = Model(max_sequences=1)
    order: list[str] = []
    for owner, name in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")]:
        model.add(request(name, 1, owner=owner))
    model.add(request("urgent", 1, owner="a", priority=1))
    names = ["a1", "a2", "a3", "b1", "c1", "urgent"]
    while not model.scheduler.is_idle:
        model.step()
        order += [names[n] for n, heard in model.heard.items() if heard.is_ended and names[n] not in order]
    assert order == ["urgent", "b1", "c1", "a1", "a2", "a3"]


def test_a_request_that_breaks_the_engine_ends_alone() -> None:
    model = Model()
    texts = ["one", "two [[fail]]", "three"]
    for text in texts:
        model.add(request(text, 10))
    model.run()
    assert isinstance(model.heard[1].error, GenerationFailed)
    assert model.heard[0].text() == script("one", 10)
    assert model.heard[2].text() == script("three", 10)


def test_a_fault_late_in_a_long_prompt_is_found_too() -> None:
    model = Model()
    model.add(request("fine", 30))
    model.add(request("y" * 100 + "[[fail]]", 10))
    model.run(prompt_tokens=30)
    assert isinstance(model.heard[1].error, GenerationFailed)
    assert model.heard[0].text() == script("fine", 30)


def test_logprobs_come_with_the_text_of_their_tokens() -> None:
    model = Model()
    heard = model.ask(request("[[say é🙂.]]", 20, ignore_eos=False, num_logprobs=2))
    deltas = [event for event in heard.events if isinstance(event, TextDelta)]
    assert [delta.text for delta in deltas] == ["é", "🙂", "."]
    assert [len(delta.logprobs) for delta in deltas] == [2, 4, 1]
    assert [delta.num_tokens for delta in deltas] == [2, 4, 1]
    assert b"".join(entry.data for delta in deltas for entry in delta.logprobs).decode() == "é🙂."
    assert all(len(entry.top) == 2 for delta in deltas for entry in delta.logprobs)


def test_a_stop_string_ends_the_choice_and_is_not_shown() -> None:
    model = Model()
    heard = model.ask(
        request("[[say one two STOP three]]", 50, ignore_eos=False, stop=("STOP",), num_logprobs=0)
    )
    assert heard.text() == "one two "
    assert heard.num_tokens() == len(prompt("one two STOP"))
    done = next(event for event in heard.events if isinstance(event, ChoiceDone))
    assert done.reason == "stop"
    tokens = [e.token for event in heard.events if isinstance(event, TextDelta) for e in event.logprobs]
    assert spoken(tokens) == "one two "


def test_forbidding_the_end_goes_on() -> None:
    model = Model()
    heard = model.ask(
        request(
            "[[say a]]",
            10,
            ignore_eos=False,
            sampling=Sampling(temperature=0, logit_bias=((fake.END, -100),)),
        )
    )
    assert heard.num_tokens() == 10
    assert heard.events[-2] == ChoiceDone(0, "length", 0, 10)


def test_a_bias_is_made_once_for_all_choices_of_a_request() -> None:
    model = Model()
    biased = Sampling(logit_bias=((5, 1.0), (3, 2.0)))
    model.add(request("go on", num_choices=8, best_of=8, sampling=biased))
    model.step()
    running = list(model.scheduler.queues.running)
    assert len(running) == 8
    assert len({id(sequence.sampling.request.bias_at(0)) for sequence in running}) == 1
    assert running[0].sampling.request.bias_at(0) is not None


def test_ended_requests_leave_nothing_for_the_garbage_collector() -> None:
    model = Model()
    model.ask(request("warm", num_choices=2, best_of=3))
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        model.ask(request("ends", num_choices=2, best_of=3))
        number = model.add(request("is left", num_choices=2, best_of=2))
        model.step()
        model.scheduler.abort(number)
        gc.collect()
        assert [value for value in gc.garbage if isinstance(value, SequenceGroup | Sequence)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
