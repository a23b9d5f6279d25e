"""vLLM's step_stats of its steps as a model's load statistics, and whether its engine makes progress."""

import time
from collections.abc import Callable
from typing import Any, Final

from myna.core.stats import SchedulerStats
from myna.scheduling.stats import StepCounter

_EVERY_S: Final = 0.25


class StepStats:
    """`on_step` is called with what vLLM reports of each step. `num_turns` rises with each, so that a hanging
    engine is noticed."""

    def __init__(self, report: Callable[[SchedulerStats], None]) -> None:
        self._report = report
        self._counter = StepCounter()
        self._last_report_s = 0.0
        self._num_running = self._num_waiting = self._num_preempted = 0
        self._kv_usage = 0.0
        self.num_turns = 0

    def on_step(self, scheduler: Any, iteration: Any) -> None:
        """Both are None if they have nothing to say (`vllm.v1.metrics.loggers.StatLoggerBase.record`)."""
        self.num_turns += 1
        if scheduler is not None:
            self._num_running = scheduler.num_running_reqs
            self._num_waiting = scheduler.num_waiting_reqs + scheduler.num_skipped_waiting_reqs
            self._kv_usage = scheduler.kv_cache_usage
        now_s = time.perf_counter()
        if iteration is not None:
            self._num_preempted += iteration.num_preempted_reqs
            num_decodes = iteration.num_generation_tokens
            if num_tokens := num_decodes + iteration.num_prompt_tokens:
                self._counter.count(num_tokens, max(num_decodes, self._num_running))
            self._counter.count_decodes(num_decodes, now_s)
        if now_s - self._last_report_s > _EVERY_S:
            self._last_report_s = now_s
            self._report(self._stats())

    def idle(self) -> None:
        """No request is left. vLLM reports no step for those that were aborted."""
        self._num_running = self._num_waiting = 0
        self._kv_usage = 0.0
        self._report(self._stats())

    def _stats(self) -> SchedulerStats:
        return self._counter.stats(
            self._num_running,
            self._num_waiting,
            kv_usage=self._kv_usage,
            num_preempted=self._num_preempted,
        )
