"""Prompt chunks follow the speed that steps had."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from myna.scheduling.batch import Batch
from myna.scheduling.prefill_budget import PrefillBudget
from myna.scheduling.step_costs import StepCosts


def rollback(budget: PrefillBudget, tokens_per_s: float, num_decodes: int, steps: int = 30) -> None:
    for _ in range(steps):
        budget.observe(budget.prompt_tokens, num_decodes, (budget.prompt_tokens + num_decodes) / tokens_per_s)


@given(st.floats(500, 60_000), st.integers(0, 16))
def test_steps_last_80_ms_or_up_to_120_while_prompts_hardly_proceed(
    tokens_per_s: float, num_decodes: int
) -> None:
    budget = PrefillBudget()
    rollback(budget, tokens_per_s, num_decodes)
    step_s = (budget.prompt_tokens + num_decodes) / tokens_per_s
    if budget.prompt_tokens == 32:  # at least; budgets are rounded down
        assert step_s + 1 / tokens_per_s > 0.08
    elif budget.prompt_tokens > 4 * num_decodes:
        assert 0.06 < step_s < 0.085
    else:
        assert 0.06 < step_s < 0.125


@given(st.floats(0.001, 1.0))
def test_a_step_of_a_large_model_lasts_four_passes_within_200_ms_or_two(pass_s: float) -> None:
    """Each step takes one pass over the weights, 10 ms for the decodes, and 1 ms for each prompt token."""
    budget = PrefillBudget()
    for _ in range(60):
        seconds = pass_s + 0.01 + budget.prompt_tokens / 1000
        budget.observe(budget.prompt_tokens, 4, seconds, pass_s=pass_s)
    allowed = max(0.08, min(4 * pass_s, max(0.2, 2 * pass_s)))
    least = pass_s + 0.01 + 32 / 1000
    assert allowed - 0.006 < seconds <= max(allowed, least) + 1e-9


@given(st.floats(0.1, 60.0))
def test_a_slow_first_decode_makes_no_later_step_longer(first_s: float) -> None:
    """Prompts are in every later step, each of which takes one pass of 5 ms and 0.5 ms for a prompt token."""
    budget, costs = PrefillBudget(), StepCosts()
    costs.observe(1, first_s)
    for _ in range(60):
        seconds = 0.005 + budget.prompt_tokens / 2000
        costs.observe_longer(seconds)
        budget.observe(budget.prompt_tokens, 1, seconds, pass_s=costs.seconds)
    assert seconds <= 0.2


@given(st.floats(20, 15_000))
def test_steps_without_decodes_last_longer(tokens_per_s: float) -> None:
    """Half a second; slow models compute as many tokens as share one pass over the weights, within 2 s."""
    budget = PrefillBudget()
    for _ in range(30):
        budget.observe(budget.alone_tokens, 0, budget.alone_tokens / tokens_per_s)
    step_s = budget.alone_tokens / tokens_per_s
    assert 0.45 < step_s <= 0.5 or (budget.alone_tokens <= 256 and 0.5 < step_s <= 2.0)


def test_one_slow_step_halves_the_chunk_at_most() -> None:
    budget = PrefillBudget()
    rollback(budget, 5000, 0)
    before = budget.prompt_tokens
    budget.observe(before, 0, 60.0)
    assert budget.prompt_tokens == before // 2


def test_small_steps_say_nothing() -> None:
    budget = PrefillBudget()
    rollback(budget, 5000, 0)
    before = budget.prompt_tokens
    budget.observe(3, 8, 0.5)
    budget.observe(40, 0, 0.001)
    assert budget.prompt_tokens == before


def test_never_stalls_and_never_explodes() -> None:
    budget = PrefillBudget()
    rollback(budget, 1.0, 64)
    assert budget.prompt_tokens == 32
    rollback(budget, 1e12, 0)
    assert budget.prompt_tokens == 8192


def chunk(budget: PrefillBudget, start: int) -> int:
    """The number of tokens from that position on that a step computes."""
    return Batch(context_slope=budget.context_slope).fitting(start, budget.prompt_tokens)


def prefill(budget: PrefillBudget, first: int, last: int, slope: float, noise: Random | None = None) -> float:
    """Compute a prompt together with 16 decodes, at 4,000 tokens/s without a context: the longest step."""
    longest = 0.0
    while first < last:
        size = min(chunk(budget, first), last - first)
        mean = first + size / 2
        seconds = (size * (1 + slope * mean) + 16) / 4000
        longest = max(longest, seconds)
        measured = seconds * noise.lognormvariate(0, 0.2) if noise else seconds
        budget.observe(size, 16, measured, mean)
        first += size
    return longest


@given(st.floats(1e-4, 3e-3))
def test_a_long_context_makes_no_step_longer(slope: float) -> None:
    budget = PrefillBudget()
    for _ in range(5):
        prefill(budget, 0, 8000, slope)
    assert prefill(budget, 0, 8000, slope) < 0.15
    for _ in range(10):
        prefill(budget, 0, 200, slope)
    assert prefill(budget, 6000, 8000, slope) < 0.15, "the rest of a prompt of which much is cached"


@given(st.floats(1e-3, 3e-3), st.integers(0, 100))
def test_the_slope_is_found_on_a_busy_machine_too(slope: float, seed: int) -> None:
    budget, noise = PrefillBudget(), Random(seed)
    for _ in range(10):
        prefill(budget, 0, 8000, slope, noise)
    assert slope / 6 < budget.context_slope < slope * 6


def test_a_chunk_after_a_very_long_context_still_proceeds() -> None:
    batch = Batch(context_slope=1e-2)
    assert batch.fitting(1_000_000, 16) == 16
    batch.num_prompt_tokens = 10
    assert batch.fitting(1_000_000, 16) == 1
    batch.num_prompt_tokens = 16
    assert batch.fitting(1_000_000, 16) == 0
