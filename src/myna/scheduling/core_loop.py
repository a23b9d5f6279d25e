"""The one thread that drives an engine: orders in, steps, events out. Owns thread, clock and engine."""

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

from myna.core.errors import GenerationFailed, InvalidRequest, ModelLoadFailed, MynaError
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest
from myna.core.stats import SchedulerStats
from myna.decoding.grammar import Grammar, Grammars
from myna.decoding.sampling import Sampled, sample, score
from myna.decoding.sampling_batch import Words
from myna.decoding.token_table import TokenTable
from myna.engines.base import Engine, Logits, OutOfRoom
from myna.scheduling.batch import NOTHING_SAMPLED, Batch, InputBatch
from myna.scheduling.grammar_compiler import GrammarCompiler
from myna.scheduling.prefill_budget import PrefillBudget
from myna.scheduling.scheduler import Scheduler
from myna.scheduling.sequence import RequestEvent
from myna.scheduling.stats import StepCounter

_log: Final = logging.getLogger(__name__)
_STATS_S: Final = 0.25


class OutputSink(Protocol):
    """Who hears the loop. All calls come from its thread and must not block for long."""

    def ready(self, info: ModelInfo) -> None: ...
    def events(self, events: list[RequestEvent]) -> None: ...
    def tokenized(self, number: int, result: list[int] | MynaError) -> None: ...
    def stats(self, stats: SchedulerStats) -> None:
        """How busy the model is: a few times a second while it works, and when it falls idle."""
        ...

    def ended(self, error: MynaError | None) -> None:
        """The thread ends: as told to (None), since loading failed (`ModelLoadFailed`), or of a fault."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to run."""

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
    """Loads a model and serves it in a thread of its own, since an engine wants one thread for all calls.

    Idle, it sleeps on a condition. `step_lock` is held while the engine computes. Requests must have
    passed `Admission`.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        listener: OutputSink,
        step_lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self._load = load
        self._listener = listener
        self._step_lock = step_lock or nullcontext()
        self._commands: deque[_Command] = deque()
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="myna-loop", daemon=True)
        self.beats = 0  # how many turns the loop has taken; one that stands still hangs

    def start(self) -> None:
        self._thread.start()

    def add(self, number: int, request: GenerationRequest) -> None:
        """Queue a request; `number` names it in what the listener is told."""
        self._send(_Add(number, request))

    def abort(self, number: int) -> None:
        """Free the request's sequences before the next step. Nothing more is told of it."""
        self._send(_Abort(number))

    def tokenize(self, number: int, text: str, *, parse_special: bool) -> None:
        """Have the engine's own tokenizer answer, between two steps."""
        self._send(_Tokenize(number, text, parse_special))

    def ping(self) -> None:
        """Have the loop count a beat, even if it is idle."""
        with self._condition:
            self._condition.notify()

    def stop(self) -> None:
        """End after the running step; whatever runs is dropped."""
        self._send(_Stop())

    def join(self) -> None:
        self._thread.join()

    def _send(self, order: _Command) -> None:
        with self._condition:
            self._commands.append(order)
            self._condition.notify()

    def _run(self) -> None:
        try:
            loaded = self._load()
        except MynaError as error:
            self._listener.ended(ModelLoadFailed(error.message))
            return
        except Exception as error:
            _log.exception("loading failed")
            self._listener.ended(ModelLoadFailed(f"The model can't be loaded: {error}"))
            return
        failure: MynaError | None = None
        try:
            self._listener.ready(loaded.engine.info)
            _StepLoop(self, loaded).run()
        except Exception as error:
            _log.exception("the scheduling loop failed")
            failure = GenerationFailed(f"The scheduling loop failed: {error}")
        finally:
            loaded.engine.close()
            self._listener.ended(failure)


class _StepLoop:
    """The loop itself, inside its thread."""

    def __init__(self, loop: EngineCore, loaded: Loaded) -> None:
        self._loop = loop
        self._commands = loop._commands
        self._condition = loop._condition
        self._send = loop._send
        self._listener = loop._listener
        self._step_lock = loop._step_lock
        self._engine = loaded.engine
        self._grammars = loaded.grammars
        self._masks = ThreadPoolExecutor(1, thread_name_prefix="myna-masks")  # a step waits for nothing else
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
            self._beat()
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
                self._listener.events(events)
            now = time.monotonic()
            if now - last_stats > _STATS_S:
                self._report_stats()
                last_stats = now

    def _report_stats(self) -> None:
        num_arriving = len(self._commands) + len(self._compiling)
        self._listener.stats(self._counter.stats(self._scheduler.queues, self._engine, num_arriving))

    def _wait(self) -> None:
        if not gc.isenabled():
            gc.collect()  # a worker collects in pauses, when nobody waits for a token
        with self._condition:
            self._condition.wait_for(self._beat)

    def _beat(self) -> bool:
        """Show that the loop turns. Returns whether there are orders."""
        self._loop.beats += 1
        return bool(self._commands)

    def _handle(self, order: _Command) -> None:
        if isinstance(order, _Add):
            self._add(order.number, order.request)
        elif isinstance(order, _Compiled):
            self._take_compiled(order)
        elif isinstance(order, _Abort):
            self._compiling.discard(order.number)
            self._scheduler.abort(order.number)
        elif isinstance(order, _Tokenize):
            self._listener.tokenized(order.number, self._tokenize(order))
        else:
            self._is_stopped = True

    def _add(self, number: int, request: GenerationRequest) -> None:
        """A constraint is compiled first, elsewhere: streams that run don't wait for it."""
        if request.constraint is None:
            self._scheduler.add(number, request)
            return
        self._compiling.add(number)
        self._compiler.submit(
            request.constraint,
            request.thought,
            lambda grammar: self._send(_Compiled(number, request, grammar)),
        )

    def _take_compiled(self, order: _Compiled) -> None:
        if order.number not in self._compiling:
            return  # aborted meanwhile
        self._compiling.remove(order.number)
        if isinstance(order.grammar, MynaError):
            self._listener.events([RequestEvent(order.number, order.grammar)])
        else:
            self._scheduler.add(order.number, order.request, order.grammar)

    def _tokenize(self, order: _Tokenize) -> list[int] | MynaError:
        try:
            return self._engine.tokenize(order.text, parse_special=order.parse_special)
        except NotImplementedError:
            return InvalidRequest("This engine has no tokenizer of its own.")
        except Exception as error:
            return GenerationFailed(f"The engine can't tokenize this text: {error}")

    def _step(self) -> list[RequestEvent]:
        """schedule, forward, sample, update."""
        batch = self._scheduler.schedule(self._prefill_budget.prompt_tokens)
        try:
            masks = self._begin_masks(batch)
            try:
                with self._step_lock:
                    started = time.perf_counter()
                    logits = self._engine.forward(batch.rows)
                    seconds = time.perf_counter() - started
            finally:
                wait(masks)
            sampled, scores = self._draw(batch, logits, masks)
        except OutOfRoom as error:
            self._input_batch.forget()
            return [] if self._scheduler.make_room() else self._scheduler.isolate(batch, error)
        except Exception as error:
            _log.exception("a step of %d sequences failed", len(batch.rows))
            self._input_batch.forget()
            return self._scheduler.isolate(batch, error)
        if batch.num_prompt_tokens:
            self._prefill_budget.observe(batch.num_prompt_tokens, batch.num_decodes, seconds)
        else:
            self._scheduler.speculation.costs.observe(batch.num_decodes, time.perf_counter() - started)
        events = self._scheduler.update(batch, sampled, scores)
        self._counter.count(batch, time.perf_counter())
        return events

    def _begin_masks(self, batch: Batch) -> list[Future[Words]]:
        """Masks of those who draw under a grammar, computed while the engine computes."""
        if self._grammars is None:
            return []
        grammars, guesses = batch.bound()
        return [self._masks.submit(self._grammars.masks, grammars, guesses)] if grammars else []

    def _draw(
        self, batch: Batch, logits: Logits, masks: list[Future[Words]]
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
