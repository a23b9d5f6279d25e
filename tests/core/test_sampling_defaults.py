"""Sampling defaults: which source counts, and what no request could have."""

import pytest

from myna.core.requests import Sampling
from myna.core.sampling_defaults import OPENAI, SamplingDefaults, read_defaults


def test_each_parameter_comes_from_the_first_source_that_has_it() -> None:
    file = SamplingDefaults(temperature=0.6, top_p=0.95)
    catalog = SamplingDefaults(temperature=0.7, top_k=20)
    assert catalog.over(file) == SamplingDefaults(temperature=0.7, top_p=0.95, top_k=20)
    assert catalog.over(file).sampling() == Sampling(temperature=0.7, top_p=0.95, top_k=20)


def test_openais_are_over_everything_and_change_nothing() -> None:
    assert OPENAI.over(SamplingDefaults(temperature=0.7, min_p=0.1)).sampling() == Sampling()
    assert OPENAI.changes() == {}


def test_zero_is_a_value() -> None:
    greedy = SamplingDefaults(temperature=0.0).over(SamplingDefaults(temperature=0.7))
    assert greedy.changes() == {"temperature": 0.0}


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 2.5},
        {"temperature": "warm"},
        {"temperature": True},
        {"temperature": float("nan")},
        {"top_k": 1.5},
        {"repetition_penalty": 0},
        {"typical_p": 0.5},
    ],
)
def test_what_no_request_could_have_is_an_error(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        read_defaults(values)


def test_top_k_may_be_off() -> None:
    assert read_defaults({"top_k": -1}).top_k == 0
