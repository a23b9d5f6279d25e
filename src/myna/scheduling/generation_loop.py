"""The loop of a model that generates: schedule, forward, sample, update."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import numpy as np

from myna.core.errors import MynaError
from myna.core.requests import GenerationRequest, ModelRequest
from myna.core.stats import SchedulerStats
from myna.decoding.grammar import Grammar, Grammars
from myna.decoding.sampling import Sampled, SamplingThreads, sample, score
from myna.decoding.sampling_batch import Bitmask
from myna.decoding.token_table import TokenTable
from myna.engines.base import Engine, KVCacheFull, Logits
from myna.scheduling.batch import NOTHING_SAMPLED, Batch, InputBatch
from myna.scheduling.decode_budget import DecodeBudget
from myna.scheduling.draft_model import DraftModel
from myna.scheduling.grammar_compiler import GrammarCompiler, no_grammars
from myna.scheduling.loop import Compiled, Loop, Mailbox, OutputSink, PrefixChecked
from myna.scheduling.prefill_budget import PrefillBudget
from myna.scheduling.prefix_file import PrefixFile
from myna.scheduling.queues import RequestQueues
from myna.scheduling.saved_prefixes import SavedPrefixes
from myna.scheduling.scheduler import Scheduler
from myna.scheduling.sequence import RequestEvent
from myna.scheduling.stats import StepCounter

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """An engine with its model loaded, and what its output processing needs. `prepare_grammars` returns None
    for a model that can't follow grammars. `draft_engine` has a smaller model with the same vocabulary."""

    engine: Engine
    token_table: TokenTable
    prepare_grammars: Callable[[], Grammars | None] = no_grammars
    prefix_file: PrefixFile | None = None
    draft_engine: Engine | None = None

    def close(self) -> None:
        self.engine.close()
        if self.draft_engine is not None:
            self.draft_engine.close()


class GenerationLoop(Loop):
    """See `Loop`. Masks and grammars are computed in threads of their own."""

    def __init__(
        self,
        mailbox: Mailbox,
        sink: OutputSink,
        step_lock: AbstractContextManager[object],
        loaded: LoadedEngine,
    ) -> None:
        super().__init__(mailbox, sink, step_lock, loaded.engine)
        self._engine = loaded.engine
        self._sampling_threads = SamplingThreads(loaded.engine.num_threads)
        # Nothing else runs here: every step waits for its masks.
        self._masks = ThreadPoolExecutor(1, thread_name_prefix="myna-masks")
        self._compiler = GrammarCompiler(loaded.prepare_grammars)
        self._compiling: set[int] = set()
        draft_model = _draft_model(loaded, step_lock)
        self._scheduler = Scheduler(loaded.engine, loaded.token_table, draft_model)
        self._input_batch = InputBatch()
        self._prefill_budget = PrefillBudget()
        self._decode_budget = DecodeBudget()
        self._counter = StepCounter()
        self._saved_prefixes: SavedPrefixes | None = None
        if loaded.prefix_file is not None:
            assert loaded.engine.blocks is not None, "what has a file can save its blocks"
            kv_cache = self._scheduler.queues.kv_cache
            self._saved_prefixes = SavedPrefixes(loaded.prefix_file, loaded.engine.blocks, kv_cache)
        self._restoring: set[int] = set()

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._compiler.close()
            if self._saved_prefixes is not None:
                self._saved_prefixes.close()

    def _is_idle(self) -> bool:
        saved = self._saved_prefixes
        return self._scheduler.is_idle and not (saved is not None and saved.has_work)

    def _stats(self) -> SchedulerStats:
        queues = self._scheduler.queues
        num_arriving = len(self._mailbox.commands) + len(self._compiling) + len(self._restoring)
        return self._counter.stats(
            len(queues.running),
            len(queues.waiting) + num_arriving,
            kv_usage=_kv_usage(queues, self._engine),
            num_preempted=queues.num_preempted,
        )

    def _wait(self) -> None:
        """While there is nothing to do, prepare memory, a little at a time."""
        while not self._mailbox.commands and self._engine.prepare_memory():
            pass
        super()._wait()

    def _add(self, number: int, request: ModelRequest) -> None:
        """A saved prefix is restored first, in pieces, so that running streams don't wait for it."""
        assert isinstance(request, GenerationRequest), "the server knows that this model generates"
        prefixes = self._saved_prefixes
        saved = prefixes.find(request) if prefixes is not None else None
        if prefixes is None or saved is None:
            self._compile(number, request)
            return
        self._restoring.add(number)
        prefixes.check(
            saved, lambda num_intact: self._mailbox.send(PrefixChecked(number, request, saved, num_intact))
        )

    def _take_prefix_checked(self, command: PrefixChecked) -> None:
        prefixes, number, request, saved, num_intact = self._saved_prefixes, *command
        assert prefixes is not None
        if number in self._restoring:
            prefixes.restore(saved, num_intact, lambda: self._restored(number, request))
        else:  # aborted meanwhile
            prefixes.drop(saved)

    def _restored(self, number: int, request: GenerationRequest) -> None:
        if number in self._restoring:
            self._restoring.remove(number)
            self._compile(number, request)

    def _compile(self, number: int, request: GenerationRequest) -> None:
        """A constraint is compiled in another thread, too."""
        if request.constraint is None:
            self._schedule(number, request)
            return
        self._compiling.add(number)
        self._compiler.submit(
            request.constraint,
            request.thought,
            lambda grammar: self._mailbox.send(Compiled(number, request, grammar)),
        )

    def _abort(self, number: int) -> None:
        self._restoring.discard(number)
        self._compiling.discard(number)
        self._scheduler.abort(number)

    def _take_compiled(self, command: Compiled) -> None:
        if command.number not in self._compiling:
            return  # aborted meanwhile
        self._compiling.remove(command.number)
        if isinstance(command.grammar, MynaError):
            self._sink.events([RequestEvent(command.number, command.grammar)])
        else:
            self._schedule(command.number, command.request, command.grammar)

    def _schedule(self, number: int, request: GenerationRequest, grammar: Grammar | None = None) -> None:
        if events := self._scheduler.add(number, request, grammar):
            self._sink.events(events)

    def _step(self) -> list[RequestEvent]:
        """schedule, forward, sample, update."""
        if self._saved_prefixes is not None and self._saved_prefixes.has_work:
            self._saved_prefixes.work(num_running=len(self._scheduler.queues.running))
            if self._scheduler.is_idle:
                return []
        budget = self._prefill_budget
        batch = self._scheduler.schedule(
            budget.prompt_tokens,
            budget.context_slope,
            budget.alone_tokens,
            self._decode_budget.num_decodes,
        )
        try:
            masks = self._begin_masks(batch)
            try:
                with self._step_lock:
                    started = time.perf_counter()
                    logits = self._engine.forward(batch.rows)
                    seconds = time.perf_counter() - started
            finally:
                wait(masks)
            sampled, scores = self._sample(batch, logits, masks)
        except KVCacheFull as error:
            self._input_batch.reset()
            return [] if self._scheduler.make_room() else self._scheduler.isolate(batch, error)
        except Exception as error:
            _log.exception("a step of %d sequences failed", len(batch.rows))
            self._input_batch.reset()
            return self._scheduler.isolate(batch, error)
        costs = self._scheduler.speculation.costs
        if batch.num_prompt_tokens:
            mean_position = batch.prompt_positions / batch.num_prompt_tokens
            costs.observe_longer(seconds)
            budget.observe(batch.num_prompt_tokens, batch.num_decodes, seconds, mean_position, costs.seconds)
        else:
            seconds = time.perf_counter() - started
            costs.observe(batch.num_decodes, seconds)
            self._decode_budget.observe(batch.num_decodes, seconds)
        events = self._scheduler.update(batch, sampled, scores)
        self._counter.count(batch.num_prompt_tokens + batch.num_decodes, len(batch.rows))
        self._counter.count_decodes(batch.num_decodes, time.perf_counter())
        return events

    def _begin_masks(self, batch: Batch) -> list[Future[Bitmask]]:
        """Compute the masks of constrained sequences while the engine computes."""
        grammars, drafts = batch.constrained()
        if not grammars:
            return []
        return [self._masks.submit(self._compiler.grammars.masks, grammars, drafts)]

    def _sample(
        self, batch: Batch, logits: Logits, masks: list[Future[Bitmask]]
    ) -> tuple[Sampled, list[Sampled]]:
        sampled = NOTHING_SAMPLED
        if batch.sampling_sequences:
            allowed = masks[0].result() if masks else None
            sampled = sample(
                logits.array, self._input_batch.batch(batch, allowed), threads=self._sampling_threads
            )
        scores: list[Sampled] = []
        for part in batch.scored:
            rows = logits.array[part.first_row : part.first_row + len(part.targets)]
            num_top = part.sequence.group.request.num_prompt_logprobs or 0
            targets = np.array(part.targets, np.int32)
            scores.append(score(rows, targets, num_top, threads=self._sampling_threads))
        return sampled, scores


def _draft_model(loaded: LoadedEngine, step_lock: AbstractContextManager[object]) -> DraftModel | None:
    if loaded.draft_engine is None:
        return None

    def log(error: Exception) -> None:
        _log.error("the draft model failed; answers go on without it", exc_info=error)

    vocab_size = loaded.engine.info.vocab_size
    return DraftModel(loaded.draft_engine, vocab_size, step_lock, time.perf_counter, log)


def _kv_usage(queues: RequestQueues, engine: Engine) -> float:
    """The share of the KV cache that running sequences use."""
    if not queues.running:
        return 0.0
    # Engines allocate whole blocks, so cached prefixes may occupy more than their tokens.
    size = engine.info.kv_tokens
    used = size - engine.free_tokens - queues.kv_cache.prefix_cache.num_tokens
    return min(1.0, max(0.0, used / max(1, size)))
