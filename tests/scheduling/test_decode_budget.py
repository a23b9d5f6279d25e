"""The number of sequences per step follows the speed that steps had."""

import pytest

from myna.scheduling.decode_budget import DecodeBudget


def observe(budget: DecodeBudget, row_s: float, steps: int = 100) -> None:
    for _ in range(steps):
        budget.observe(budget.num_decodes, budget.num_decodes * row_s)


@pytest.mark.parametrize("row_s", [1e-4, 3e-4, 1e-3, 2e-3])
def test_steps_last_80_ms(row_s: float) -> None:
    budget = DecodeBudget()
    observe(budget, row_s)
    assert 0.07 < budget.num_decodes * row_s < 0.081


def test_a_slow_model_decodes_a_tile_of_sequences() -> None:
    budget = DecodeBudget()
    observe(budget, 0.02)
    assert budget.num_decodes == 32


def test_a_fast_model_decodes_all() -> None:
    budget = DecodeBudget()
    observe(budget, 1e-6, steps=1000)
    assert budget.num_decodes == 4096


def test_one_slow_step_halves_it_at_most_and_small_steps_say_nothing() -> None:
    budget = DecodeBudget()
    observe(budget, 5e-4)
    before = budget.num_decodes
    budget.observe(16, 0.01)
    assert budget.num_decodes == before
    budget.observe(before, 60.0)
    assert budget.num_decodes == before // 2
