"""The loop of a model that turns texts into vectors: schedule, embed, update."""

import logging
import time
from contextlib import AbstractContextManager
from typing import Final

from myna.core.requests import EmbeddingRequest, ModelRequest
from myna.core.stats import SchedulerStats
from myna.engines.base import EmbeddingEngine
from myna.scheduling.embedding_scheduler import EmbeddingScheduler
from myna.scheduling.loop import Loop, Mailbox, OutputSink
from myna.scheduling.prefill_budget import PrefillBudget
from myna.scheduling.sequence import RequestEvent
from myna.scheduling.stats import StepCounter

_log: Final = logging.getLogger(__name__)


class EmbeddingLoop(Loop):
    """See `Loop`. Its steps are kept short, since the workers of a machine take turns: a chat's next token
    waits for at most one of them."""

    def __init__(
        self,
        mailbox: Mailbox,
        sink: OutputSink,
        step_lock: AbstractContextManager[object],
        engine: EmbeddingEngine,
    ) -> None:
        super().__init__(mailbox, sink, step_lock, engine)
        self._engine = engine
        self._scheduler = EmbeddingScheduler(engine.info)
        self._budget = PrefillBudget()
        self._counter = StepCounter()

    def _is_idle(self) -> bool:
        return self._scheduler.is_idle

    def _stats(self) -> SchedulerStats:
        started = self._scheduler.num_started
        num_waiting = self._scheduler.num_jobs - started + len(self._mailbox.commands)
        return self._counter.stats(started, num_waiting)

    def _add(self, number: int, request: ModelRequest) -> None:
        assert isinstance(request, EmbeddingRequest), "the server knows that this model doesn't generate"
        self._scheduler.add(number, request)

    def _abort(self, number: int) -> None:
        self._scheduler.abort(number)

    def _step(self) -> list[RequestEvent]:
        batch = self._scheduler.schedule(self._budget.prompt_tokens)
        try:
            with self._step_lock:
                started = time.perf_counter()
                vectors = self._engine.embed(batch.texts)
                seconds = time.perf_counter() - started
        except Exception as error:
            _log.exception("a step of %d texts failed", len(batch.texts))
            return self._scheduler.isolate(batch, error)
        self._budget.observe(batch.num_tokens, 0, seconds)
        self._counter.count(batch.num_tokens, len(batch.texts))
        return self._scheduler.update(batch, vectors)
