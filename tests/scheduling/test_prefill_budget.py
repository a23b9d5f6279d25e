"""Prompt chunks follow the speed that steps had."""

from hypothesis import given
from hypothesis import strategies as st

from myna.scheduling.prefill_budget import PrefillBudget


def rollback(budget: PrefillBudget, tokens_per_s: float, num_decodes: int, steps: int = 30) -> None:
    for _ in range(steps):
        budget.observe(budget.prompt_tokens, num_decodes, (budget.prompt_tokens + num_decodes) / tokens_per_s)


@given(st.floats(250, 60_000), st.integers(0, 16))
def test_steps_come_to_last_120_ms(tokens_per_s: float, num_decodes: int) -> None:
    budget = PrefillBudget()
    rollback(budget, tokens_per_s, num_decodes)
    step_s = (budget.prompt_tokens + num_decodes) / tokens_per_s
    assert 0.09 < step_s < 0.15 or (budget.prompt_tokens == 16 and step_s >= 0.12)


def test_one_slow_step_halves_the_chunk_at_most() -> None:
    budget = PrefillBudget()
    rollback(budget, 5000, 0)
    before = budget.prompt_tokens
    budget.observe(before, 0, 60.0)
    assert budget.prompt_tokens == before // 2


def test_small_steps_tell_nothing() -> None:
    budget = PrefillBudget()
    rollback(budget, 5000, 0)
    before = budget.prompt_tokens
    budget.observe(3, 8, 0.5)
    budget.observe(40, 0, 0.001)
    assert budget.prompt_tokens == before


def test_never_stalls_and_never_explodes() -> None:
    budget = PrefillBudget()
    rollback(budget, 1.0, 64)
    assert budget.prompt_tokens == 16
    rollback(budget, 1e12, 0)
    assert budget.prompt_tokens == 8192
