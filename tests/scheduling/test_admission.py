"""Which requests are admitted, and why others are not."""

import pytest

from myna.core.errors import ContextLengthExceeded, InvalidRequest, Overloaded
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest, Sampling
from myna.scheduling.admission import Admission, QueueLimits

INFO = ModelInfo("fake", "fake", 100, 64, 1000, 8, "fp")


def request(num_tokens: int = 4, max_tokens: int = 1) -> GenerationRequest:
    return GenerationRequest("r", (1,) * num_tokens, max_tokens)


def test_prompt_and_answer_may_fill_the_context_and_no_more() -> None:
    admission = Admission(QueueLimits())
    admission.admit(request(60, 4), INFO)
    with pytest.raises(ContextLengthExceeded, match=r"context length is 64 tokens.*65 tokens") as caught:
        admission.admit(request(60, 5), INFO)
    assert caught.value.code == "context_length_exceeded"


def test_what_never_fits_the_kv_cache_is_the_clients_error() -> None:
    small = ModelInfo("fake", "fake", 100, 64, 32, 8, "fp")
    with pytest.raises(ContextLengthExceeded, match="KV cache size on this server is 32 tokens"):
        Admission(QueueLimits()).admit(request(30, 3), small)


@pytest.mark.parametrize(
    "bad",
    [
        GenerationRequest("r", (), 1),
        GenerationRequest("r", (100,), 1),
        GenerationRequest("r", (-1,), 1),
        GenerationRequest("r", (1,), -1),
        GenerationRequest("r", (1,), 1, num_choices=0),
        GenerationRequest("r", (1,), 1, sampling=Sampling(logit_bias=((100, 1.0),))),
        GenerationRequest("r", (1,), 1, sampling=Sampling(logit_bias=((1, 1.0),) * 1025)),
    ],
)
def test_values_that_would_break_an_engine_never_reach_it(bad: GenerationRequest) -> None:
    admission = Admission(QueueLimits())
    with pytest.raises(InvalidRequest):
        admission.admit(bad, INFO)
    assert admission.num_requests == admission.num_tokens == 0


def test_the_line_is_bounded_by_requests_and_by_tokens() -> None:
    admission = Admission(QueueLimits(max_waiting_requests=2))
    first = request()
    admission.admit(first, INFO)
    admission.admit(request(), INFO)
    with pytest.raises(Overloaded):
        admission.admit(request(), INFO)
    admission.release(first)
    admission.admit(request(), INFO)

    admission = Admission(QueueLimits(max_waiting_tokens=10))
    admission.admit(request(20), INFO)  # alone, a long prompt may enter
    with pytest.raises(Overloaded):
        admission.admit(request(1), INFO)


def test_an_owner_with_few_requests_gets_in_when_others_fill_the_queue() -> None:
    admission = Admission(QueueLimits(max_waiting_requests=16))
    others, mine = (GenerationRequest("r", (1,), 1, owner=owner) for owner in ("others", "mine"))
    for _ in range(16):
        admission.admit(others, INFO)
    with pytest.raises(Overloaded):
        admission.admit(others, INFO)
    for _ in range(2):
        admission.admit(mine, INFO)
    with pytest.raises(Overloaded):
        admission.admit(mine, INFO)
    for number in range(14):
        admission.admit(GenerationRequest("r", (1,), 1, owner=f"another {number}"), INFO)
    with pytest.raises(Overloaded):
        admission.admit(GenerationRequest("r", (1,), 1, owner="one too many"), INFO)


def test_a_long_prompt_of_a_new_owner_must_fit_what_is_left_for_it() -> None:
    admission = Admission(QueueLimits(max_waiting_tokens=160))
    for owner, size, is_admitted in (("a", 50, True), ("b", 60, True), ("a", 60, False), ("c", 20, True)):
        request = GenerationRequest("r", (1,) * size, 1, owner=owner)
        if is_admitted:
            admission.admit(request, INFO)
        else:
            with pytest.raises(Overloaded):
                admission.admit(request, INFO)
