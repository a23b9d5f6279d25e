"""What vLLM reports of its steps becomes a model's load."""

from types import SimpleNamespace

from myna.core.stats import SchedulerStats
from myna.workers.vllm.stats import StepStats


def test_steps_are_counted_and_an_idle_model_shows_no_load() -> None:
    seen: list[SchedulerStats] = []
    step_stats = StepStats(seen.append)
    scheduler = SimpleNamespace(
        num_running_reqs=2, num_waiting_reqs=1, num_skipped_waiting_reqs=1, kv_cache_usage=0.25
    )
    iteration = SimpleNamespace(num_preempted_reqs=1, num_generation_tokens=2, num_prompt_tokens=30)
    step_stats.on_step(scheduler, iteration)
    step_stats.on_step(None, None)
    assert step_stats.num_turns == 2
    (first, *_) = seen
    assert (first.num_running, first.num_waiting, first.kv_usage, first.num_preempted) == (2, 2, 0.25, 1)
    assert (first.step_tokens.total, first.batch_sizes.total) == (32, 2)
    step_stats.idle()
    assert (seen[-1].num_running, seen[-1].num_waiting, seen[-1].kv_usage) == (0, 0, 0.0)
    assert seen[-1].step_tokens.total == 32
