"""The thread that drives an engine: commands in, steps, events out. Owns the thread, the clock and the
engine."""

import gc
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np

from myna.core.errors import GenerationFailed, ModelLoadFailed, MynaError
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest
from myna.core.stats import SchedulerStats
from myna.decoding.grammar import Grammar, Grammars
from myna.decoding.sampling import Sampled, sample, score
from myna.decoding.sampling_batch import Bitmask
from myna.decoding.token_table import TokenTable
from myna.engines.base import Engine, KVCacheFull, Logits
from myna.scheduling.batch import NOTHING_SAMPLED, Batch, InputBatch
from myna.scheduling.grammar_compiler import GrammarCompiler
from myna.scheduling.prefill_budget import PrefillBudget
from myna.scheduling.scheduler import Scheduler
from myna.scheduling.sequence import RequestEvent
from myna.scheduling.stats import StepCounter

_log: Final = logging.getLogger(__name__)
_STATS_S: Final = 0.25


class OutputSink(Protocol):
    """Receives the loop's output. All calls come from its thread and must not block for long."""

    def ready(self, info: ModelInfo) -> None: ...
    def events(self, events: list[RequestEvent]) -> None: ...
    def tokenized(self, number: int, result: list[int] | MynaError) -> None: ...
    def stats(self, stats: SchedulerStats) -> None:
        """Load statistics: a few times per second while running, and when the loop becomes idle."""
        ...

    def ended(self, error: MynaError | None) -> None:
        """The thread has ended: stopped (None), failed to load (`ModelLoadFailed`), or crashed."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """An engine with its model loaded, and what its output processing needs."""

    engine: Engine
    token_table: TokenTable
    grammars: Grammars | None = None


class _Add(NamedTuple):
    number: int
    request: GenerationRequest


class _Compiled(NamedTuple):
    number: int
    request: GenerationRequest
    grammar: Grammar | MynaError


class _Abort(NamedTuple):
    number: int


class _Tokenize(NamedTuple):
    number: int
    text: str
    parse_special: bool


class _Stop(NamedTuple):
    pass


_Command = _Add | _Compiled | _Abort | _Tokenize | _Stop


class EngineCore:
    """Loads a model and runs it in a dedicated thread, since an engine needs all calls from one thread.

    When idle, it waits on a condition. `step_lock` is held while the engine computes. Requests must have
    been admitted (`Admission`).
    """

    def __init__(
        self,
        load: Callable[[], LoadedEngine],
        sink: OutputSink,
        step_lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self._load = load
        self._sink = sink
        self._step_lock = step_lock or nullcontext()
        self._commands: deque[_Command] = deque()
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="myna-loop", daemon=True)
        self.num_turns = 0  # iterations of the loop; if it stops rising, the loop hangs

    def start(self) -> None:
        self._thread.start()

    def add(self, number: int, request: GenerationRequest) -> None:
        """Queue a request; `number` identifies it in the sink's events."""
        self._send(_Add(number, request))

    def abort(self, number: int) -> None:
        """Free the request's sequences before the next step. It has no further events."""
        self._send(_Abort(number))

    def tokenize(self, number: int, text: str, *, parse_special: bool) -> None:
        """Tokenize with the engine's own tokenizer, between two steps."""
        self._send(_Tokenize(number, text, parse_special))

    def ping(self) -> None:
        """Wake the loop so that it counts a turn even when idle."""
        with self._condition:
            self._condition.notify()

    def stop(self) -> None:
        """End after the current step; unfinished requests are dropped."""
        self._send(_Stop())

    def join(self) -> None:
        self._thread.join()

    def _send(self, command: _Command) -> None:
        with self._condition:
            self._commands.append(command)
            self._condition.notify()

    def _run(self) -> None:
        try:
            loaded = self._load()
        except MynaError as error:
            self._sink.ended(ModelLoadFailed(error.message))
            return
        except Exception as error:
            _log.exception("loading the model failed")
            self._sink.ended(ModelLoadFailed(f"The model can't be loaded: {error}"))
            return
        failure: MynaError | None = None
        try:
            self._sink.ready(loaded.engine.info)
            _StepLoop(self, loaded).run()
        except Exception as error:
            _log.exception("the scheduling loop failed")
            failure = GenerationFailed(f"The scheduling loop failed: {error}")
        finally:
            loaded.engine.close()
            self._sink.ended(failure)


class _StepLoop:
    """The loop itself, in its thread."""

    def __init__(self, core: EngineCore, loaded: LoadedEngine) -> None:
        self._core = core
        self._commands = core._commands
        self._condition = core._condition
        self._send = core._send
        self._sink = core._sink
        self._step_lock = core._step_lock
        self._engine = loaded.engine
        self._grammars = loaded.grammars
        # Nothing else runs here: every step waits for its masks.
        self._masks = ThreadPoolExecutor(1, thread_name_prefix="myna-masks")
        self._compiler = GrammarCompiler(loaded.grammars)
        self._compiling: set[int] = set()
        self._scheduler = Scheduler(loaded.engine, loaded.token_table)
        self._input_batch = InputBatch()
        self._prefill_budget = PrefillBudget()
        self._counter = StepCounter()
        self._is_stopped = False

    def run(self) -> None:
        try:
            self._run()
        finally:
            self._compiler.close()

    def _run(self) -> None:
        scheduler, last_stats = self._scheduler, 0.0
        while True:
            self._count_turn()
            if scheduler.is_idle and not self._commands:
                self._report_stats()
                self._wait()
            while self._commands:
                self._handle(self._commands.popleft())
            if self._is_stopped:
                return
            if scheduler.is_idle:
                continue
            if events := self._step():
                self._sink.events(events)
            now = time.monotonic()
            if now - last_stats > _STATS_S:
                self._report_stats()
                last_stats = now

    def _report_stats(self) -> None:
        num_arriving = len(self._commands) + len(self._compiling)
        self._sink.stats(self._counter.stats(self._scheduler.queues, self._engine, num_arriving))

    def _wait(self) -> None:
        if not gc.isenabled():
            gc.collect()  # workers collect garbage when idle, when no request is waiting for a token
        with self._condition:
            self._condition.wait_for(self._count_turn)

    def _count_turn(self) -> bool:
        """Count an iteration. Returns whether there are commands."""
        self._core.num_turns += 1
        return bool(self._commands)

    def _handle(self, command: _Command) -> None:
        if isinstance(command, _Add):
            self._add(command.number, command.request)
        elif isinstance(command, _Compiled):
            self._take_compiled(command)
        elif isinstance(command, _Abort):
            self._compiling.discard(command.number)
            self._scheduler.abort(command.number)
        elif isinstance(command, _Tokenize):
            self._sink.tokenized(command.number, self._tokenize(command))
        else:
            self._is_stopped = True

    def _add(self, number: int, request: GenerationRequest) -> None:
        """A constraint is compiled first, in another thread, so that running streams don't wait for it."""
        if request.constraint is None:
            self._scheduler.add(number, request)
            return
        self._compiling.add(number)
        self._compiler.submit(
            request.constraint,
            request.thought,
            lambda grammar: self._send(_Compiled(number, request, grammar)),
        )

    def _take_compiled(self, command: _Compiled) -> None:
        if command.number not in self._compiling:
            return  # aborted meanwhile
        self._compiling.remove(command.number)
        if isinstance(command.grammar, MynaError):
            self._sink.events([RequestEvent(command.number, command.grammar)])
        else:
            self._scheduler.add(command.number, command.request, command.grammar)

    def _tokenize(self, command: _Tokenize) -> list[int] | MynaError:
        try:
            return self._engine.tokenize(command.text, parse_special=command.parse_special)
        except Exception as error:
            return GenerationFailed(f"The engine can't tokenize this text: {error}")

    def _step(self) -> list[RequestEvent]:
        """schedule, forward, sample, update."""
        batch = self._scheduler.schedule(
            self._prefill_budget.prompt_tokens, self._prefill_budget.context_slope
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
        if batch.num_prompt_tokens:
            mean_position = batch.prompt_positions / batch.num_prompt_tokens
            self._prefill_budget.observe(batch.num_prompt_tokens, batch.num_decodes, seconds, mean_position)
        else:
            self._scheduler.speculation.costs.observe(batch.num_decodes, time.perf_counter() - started)
        events = self._scheduler.update(batch, sampled, scores)
        self._counter.count(batch, time.perf_counter())
        return events

    def _begin_masks(self, batch: Batch) -> list[Future[Bitmask]]:
        """Compute the masks of constrained sequences while the engine computes."""
        if self._grammars is None:
            return []
        grammars, drafts = batch.constrained()
        return [self._masks.submit(self._grammars.masks, grammars, drafts)] if grammars else []

    def _sample(
        self, batch: Batch, logits: Logits, masks: list[Future[Bitmask]]
    ) -> tuple[Sampled, list[Sampled]]:
        sampled = NOTHING_SAMPLED
        if batch.sampling_sequences:
            allowed = masks[0].result() if masks else None
            sampled = sample(logits.array, self._input_batch.batch(batch, allowed))
        scores: list[Sampled] = []
        for part in batch.scored:
            rows = logits.array[part.first_row : part.first_row + len(part.targets)]
            num_top = part.sequence.group.request.num_prompt_logprobs or 0
            scores.append(score(rows, np.array(part.targets, np.int32), num_top))
        return sampled, scores
