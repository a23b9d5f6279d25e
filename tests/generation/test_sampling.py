"""The sampling of a request: its own fields, the model's defaults, and the fields that repeat it."""

from dataclasses import dataclass

import pytest

from myna.core.requests import Sampling
from myna.generation.sampling import as_fields, to_sampling

QWEN = Sampling(temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.1)


@dataclass(frozen=True)
class Fields:
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = 5


@pytest.mark.parametrize(
    ("fields", "sampling"),
    [
        (Fields(), Sampling(0.7, 0.8, 20, repetition_penalty=1.1, seed=5)),
        (Fields(top_p=0.5), Sampling(0.7, 0.5, 20, repetition_penalty=1.1, seed=5)),
        (Fields(top_k=-1, repetition_penalty=1.0), Sampling(0.7, 0.8, 0, seed=5)),
        (Fields(temperature=0), Sampling(0, seed=5)),
        (Fields(temperature=1.0), Sampling(seed=5)),
        (Fields(temperature=1.0, top_k=3), Sampling(1.0, 1.0, 3, seed=5)),
    ],
)
def test_a_field_of_the_request_counts_and_a_temperature_leaves_out_the_models(
    fields: Fields, sampling: Sampling
) -> None:
    assert to_sampling(fields, QWEN) == sampling


@pytest.mark.parametrize("fields", [Fields(), Fields(top_p=0.5), Fields(temperature=0), Fields(min_p=0.25)])
def test_the_fields_of_a_replay_give_the_same_whatever_the_defaults_become(fields: Fields) -> None:
    used = to_sampling(fields, QWEN)
    again = Fields(**as_fields(used))  # type: ignore[arg-type]
    for later in (QWEN, Sampling(), Sampling(temperature=0.1, min_p=0.3, presence_penalty=2)):
        assert to_sampling(again, later) == used
