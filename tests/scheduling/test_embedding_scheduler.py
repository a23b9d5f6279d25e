"""Which texts are turned into vectors in a step, in which order, and what a failed one costs the others."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from myna.core.errors import GenerationFailed
from myna.core.events import Done, Embedded, PromptDone
from myna.core.generator import EmbeddingInfo, ModelInfo
from myna.core.requests import BACKGROUND, EmbeddingRequest
from myna.scheduling.embedding_scheduler import EmbeddingBatch, EmbeddingScheduler
from myna.scheduling.sequence import RequestEvent

INFO = ModelInfo("fake", "fake", 1000, 64, 256, 8, "f", embedding=EmbeddingInfo(2, "mean"))


def texts(*sizes: int, token: int = 1) -> tuple[tuple[int, ...], ...]:
    return tuple((token,) * size for size in sizes)


def request(*sizes: int, owner: str = "a", priority: int = 0, token: int = 1) -> EmbeddingRequest:
    return EmbeddingRequest("id", texts(*sizes, token=token), priority, owner)


def vectors(batch: EmbeddingBatch) -> np.ndarray:
    """A text's vector is its first token and its length."""
    return np.array([(text[0], len(text)) for text in batch.texts], np.float32)


def step(scheduler: EmbeddingScheduler, max_tokens: int = 1000) -> tuple[EmbeddingBatch, list[RequestEvent]]:
    batch = scheduler.schedule(max_tokens)
    return batch, scheduler.update(batch, vectors(batch))


def run(scheduler: EmbeddingScheduler, max_tokens: int = 1000) -> dict[int, list[object]]:
    heard: dict[int, list[object]] = {}
    while not scheduler.is_idle:
        for number, event in step(scheduler, max_tokens)[1]:
            heard.setdefault(number, []).append(event)
    return heard


def test_many_requests_share_a_step() -> None:
    scheduler = EmbeddingScheduler(INFO)
    scheduler.add(1, request(3, 4))
    scheduler.add(2, request(5, owner="b"))
    batch, events = step(scheduler)
    assert sorted(map(len, batch.texts)) == [3, 4, 5]
    assert scheduler.is_idle
    of_first = [event for number, event in events if number == 1]
    assert of_first == [
        PromptDone(7, 0),
        Embedded(0, np.array([1, 3, 1, 4], "<f4").tobytes()),
        Done(0),
    ]


@given(
    st.lists(st.lists(st.integers(1, 64), min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(1, 300),
)
def test_every_text_gets_its_own_vector_within_the_bounds(sizes: list[list[int]], max_tokens: int) -> None:
    scheduler = EmbeddingScheduler(INFO)
    for number, one in enumerate(sizes):
        scheduler.add(number, request(*one, owner=f"owner {number % 3}", token=number + 1))
    heard: dict[int, list[tuple[int, int]]] = {}
    while not scheduler.is_idle:
        batch, events = step(scheduler, max_tokens)
        assert 1 <= len(batch.texts) <= INFO.max_sequences
        assert batch.num_tokens == sum(map(len, batch.texts)) <= max(min(max_tokens, INFO.kv_tokens), 64)
        assert len(batch.texts) == 1 or batch.num_tokens <= max_tokens
        for number, event in events:
            if isinstance(event, Embedded):
                own = heard.setdefault(number, [])
                assert event.first == len(own)
                rows = np.frombuffer(event.vectors, "<f4").reshape(-1, 2)
                own += [(int(token), int(size)) for token, size in rows]
    assert heard == {n: [(n + 1, size) for size in one] for n, one in enumerate(sizes)}


def test_an_owner_with_little_is_not_behind_one_with_much() -> None:
    scheduler = EmbeddingScheduler(INFO)
    scheduler.add(1, request(*[10] * 100, owner="a"))
    step(scheduler, 40)
    scheduler.add(2, request(10, 10, owner="b", token=2))
    batch, _ = step(scheduler, 40)
    assert [text[0] for text in batch.texts].count(2) == 2


def test_a_higher_priority_goes_first_and_costs_less() -> None:
    scheduler = EmbeddingScheduler(INFO)
    scheduler.add(1, request(*[10] * 8, owner="a", token=1))
    scheduler.add(2, request(*[10] * 8, owner="a", priority=1, token=2))
    assert {text[0] for text in step(scheduler, 40)[0].texts} == {2}
    scheduler = EmbeddingScheduler(INFO)
    scheduler.add(1, request(*[10] * 8, owner="a", token=1))
    scheduler.add(2, request(*[10] * 8, owner="b", priority=-1, token=2))
    drawn = [text[0] for _ in range(2) for text in step(scheduler, 50)[0].texts]
    assert drawn.count(1) > 2 * drawn.count(2)


def test_batches_get_what_the_others_leave_of_a_step() -> None:
    scheduler = EmbeddingScheduler(INFO)
    scheduler.add(1, request(*[10] * 7, owner="batch/a", priority=BACKGROUND, token=1))
    scheduler.add(2, request(*[10] * 5, owner="b", token=2))
    drawn = [[text[0] for text in step(scheduler, 40)[0].texts] for _ in range(3)]
    assert drawn == [[2, 2, 2, 2], [2, 1, 1, 1], [1, 1, 1, 1]]


def test_an_aborted_request_is_not_computed_further() -> None:
    scheduler = EmbeddingScheduler(INFO)
    scheduler.add(1, request(*[10] * 8))
    step(scheduler, 20)
    scheduler.abort(1)
    scheduler.abort(1)
    assert scheduler.is_idle


def test_a_failed_step_is_tried_again_text_by_text() -> None:
    scheduler = EmbeddingScheduler(INFO)
    scheduler.add(1, request(3, 3))
    scheduler.add(2, request(4, owner="b", token=2))
    scheduler.add(3, request(5, owner="c", token=3))
    assert scheduler.isolate(scheduler.schedule(1000), RuntimeError("broken")) == []
    errors, done = dict[int, GenerationFailed](), set[int]()
    while not scheduler.is_idle:
        batch = scheduler.schedule(1000)
        assert len(batch.texts) == 1
        if batch.texts[0][0] == 2:
            events = scheduler.isolate(batch, RuntimeError("broken"))
        else:
            events = scheduler.update(batch, vectors(batch))
        errors |= {number: event for number, event in events if isinstance(event, GenerationFailed)}
        done |= {number for number, event in events if isinstance(event, Done)}
    assert list(errors) == [2]
    assert "broken" in errors[2].message
    assert done == {1, 3}


def test_after_a_failed_step_texts_are_computed_together_again() -> None:
    scheduler = EmbeddingScheduler(INFO)
    scheduler.add(1, request(3, 3))
    scheduler.isolate(scheduler.schedule(1000), RuntimeError("broken"))
    step(scheduler)
    scheduler.abort(1)
    scheduler.add(2, request(3, 3))
    assert len(scheduler.schedule(1000).texts) == 2


def test_a_vector_that_is_not_a_number_fails_only_its_request() -> None:
    scheduler = EmbeddingScheduler(INFO)
    scheduler.add(1, request(3))
    scheduler.add(2, request(4, owner="b", token=2))
    batch = scheduler.schedule(1000)
    bad = vectors(batch)
    bad[[text[0] for text in batch.texts].index(2), 1] = np.nan
    events = scheduler.update(batch, bad)
    assert [number for number, event in events if isinstance(event, GenerationFailed)] == [2]
    assert [number for number, event in events if isinstance(event, Done)] == [1]
    assert scheduler.is_idle
