"""Compiles constraints in threads of its own: each within a deadline, equal ones only once.

llguidance can't be interrupted: when a compilation is overdue, its requests fail and it continues in its
thread at a lower priority. At most a few of those run at a time, and size limits bound each.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Final

from myna.core.constraints import Constraint
from myna.core.errors import ConstraintTooComplex, GenerationFailed, InvalidRequest, MynaError, Overloaded
from myna.core.requests import Thought
from myna.decoding.grammar import STACK_BYTES, Grammar, Grammars
from myna.scheduling.grammar_text import compile_constraint, prefixes, with_origin

_log: Final = logging.getLogger(__name__)
_DEADLINE_S: Final = (
    5.0  # shorter than the time to a stream's first keep-alive, so that an error still sets the HTTP status
)
_NUM_THREADS: Final = 2
_MAX_OVERDUE: Final = 2
_OVERDUE_NICENESS: Final = 10  # it still has to finish
_MAX_CACHED: Final = 32

OnCompiled = Callable[[Grammar | MynaError], None]
Reply = tuple[OnCompiled, MynaError]


@dataclass(slots=True, eq=False)
class _Job:
    """A constraint that is being compiled or waits to be."""

    constraint: Constraint
    deadline: float
    waiting: list[tuple[Thought | None, OnCompiled]] = field(default_factory=list)
    thread: threading.Thread | None = None
    is_overdue: bool = False


class GrammarCompiler:
    """`submit` may be called from any thread. Every compilation has a thread of its own, with a stack that
    hostile grammars can't overflow; at most `num_threads` run within their deadline, and `max_overdue` beyond
    it."""

    def __init__(
        self,
        prepare: Callable[[], Grammars | None],
        *,
        deadline_s: float = _DEADLINE_S,
        num_threads: int = _NUM_THREADS,
        max_overdue: int = _MAX_OVERDUE,
    ) -> None:
        """`prepare` is called once, in the compiler's thread, and returns None for a model that can't follow
        grammars. It takes about as long as loading the model: until it has returned, constraints wait, and
        their deadlines don't begin."""
        self._prepare = prepare
        self._prepared: Grammars | MynaError | None = None
        self._deadline_s = deadline_s
        self._num_threads = num_threads
        self._max_overdue = max_overdue
        self._jobs: OrderedDict[Constraint, _Job] = OrderedDict()
        self._compiled: OrderedDict[Constraint, Grammar | InvalidRequest] = OrderedDict()
        self._changed = threading.Condition()
        self._is_closed = False
        self._coordinator = threading.Thread(target=self._coordinate, name="myna-grammars", daemon=True)
        self._coordinator.start()

    @property
    def grammars(self) -> Grammars:
        """Those that compiled every grammar. Raises why none can be compiled."""
        assert self._prepared is not None, "nothing is compiled before they are there"
        if isinstance(self._prepared, MynaError):
            raise copy(self._prepared)
        return self._prepared

    def submit(self, constraint: Constraint, thought: Thought | None, done: OnCompiled) -> None:
        """Call `done` once with the grammar in its initial state or an error: immediately if the result is
        cached, otherwise from another thread."""
        with self._changed:
            known: Grammar | MynaError | None = self._compiled.get(constraint)
            if known is None:
                known = self._join(constraint, thought, done)
            else:
                self._compiled.move_to_end(constraint)
        if known is not None:
            done(self._begin(known, thought))

    def close(self) -> None:
        """Start no more compilations. Running ones end by themselves."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _join(self, constraint: Constraint, thought: Thought | None, done: OnCompiled) -> MynaError | None:
        """Wait for the constraint's job, or create one. Returns an error if it is already overdue."""
        job = self._jobs.get(constraint)
        if job is not None and job.is_overdue:
            return self._too_slow(constraint)
        if job is None:
            job = self._jobs[constraint] = _Job(constraint, time.monotonic() + self._deadline_s)
            self._changed.notify()
        job.waiting.append((thought, done))
        return None

    def _coordinate(self) -> None:
        """The coordinator's thread: starts jobs and fails overdue ones."""
        self._prepared = self._prepare_grammars()
        with self._changed:
            for job in self._jobs.values():
                job.deadline = time.monotonic() + self._deadline_s
        while True:
            with self._changed:
                if self._is_closed:
                    return
                replies = self._start_jobs()
                replies += self._expire_jobs(time.monotonic())
                if not replies:
                    self._changed.wait(self._seconds_to_deadline())
            for done, error in replies:
                done(error)

    def _prepare_grammars(self) -> Grammars | MynaError:
        try:
            grammars = self._prepare()
        except BaseException as error:  # a panic in llguidance is a BaseException
            _log.exception("no grammars can be compiled")
            return GenerationFailed(f"This model's grammars can't be prepared: {error}")
        if grammars is None:
            return InvalidRequest("This model can't follow grammars: it has no end-of-text token.")
        return grammars

    def _start_jobs(self) -> list[Reply]:
        """Start as many jobs as may run. Returns the replies for one whose thread could not be started."""
        running = [job for job in self._jobs.values() if job.thread is not None]
        num_overdue = sum(job.is_overdue for job in running)
        free = self._num_threads - (len(running) - num_overdue)
        free = min(free, self._num_threads + self._max_overdue - len(running))
        for job in [job for job in self._jobs.values() if job.thread is None][: max(0, free)]:
            job.thread = threading.Thread(target=self._run, args=(job,), name="myna-grammar", daemon=True)
            try:
                _start_with_stack(job.thread)
            except RuntimeError as exc:
                del self._jobs[job.constraint]
                error = Overloaded(f"The grammar can't be compiled at the moment: {exc}.")
                return [(done, error) for _, done in job.waiting]
        return []

    def _expire_jobs(self, now: float) -> list[Reply]:
        replies: list[Reply] = []
        for job in [job for job in self._jobs.values() if not job.is_overdue and job.deadline <= now]:
            if job.thread is None:
                del self._jobs[job.constraint]
                error: MynaError = Overloaded(
                    "The server is busy compiling other grammars. Please try again later."
                )
            else:
                job.is_overdue = True
                _lower_priority(job.thread)
                error = self._too_slow(job.constraint)
            replies += [(done, error) for _, done in job.waiting]
            job.waiting = []
        return replies

    def _seconds_to_deadline(self) -> float | None:
        deadlines = [job.deadline for job in self._jobs.values() if not job.is_overdue]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _too_slow(self, constraint: Constraint) -> InvalidRequest:
        reason = f"The grammar is too complex: compiling it takes more than {self._deadline_s:g} s."
        return with_origin(constraint, ConstraintTooComplex(reason))

    def _run(self, job: _Job) -> None:
        """The thread of a compilation."""
        result = self._compile(job.constraint)
        with self._changed:
            del self._jobs[job.constraint]
            if isinstance(result, Grammar | InvalidRequest):
                self._compiled[job.constraint] = result
                if len(self._compiled) > _MAX_CACHED:
                    self._compiled.popitem(last=False)
            self._changed.notify()
        for thought, done in job.waiting:
            done(self._begin(result, thought))

    def _compile(self, constraint: Constraint) -> Grammar | MynaError:
        try:
            return _compile(self.grammars, constraint)
        except MynaError as error:
            return error
        except BaseException as error:  # a panic in llguidance is a BaseException
            _log.exception("a grammar could not be compiled")
            return GenerationFailed(f"The grammar can't be compiled: {error}")

    def _begin(self, result: Grammar | MynaError, thought: Thought | None) -> Grammar | MynaError:
        if isinstance(result, MynaError):
            return copy(result)
        try:
            return self.grammars.begin(result, thought)
        except MynaError as error:  # the markers of a thought need a tokenizer
            return error


def no_grammars() -> None:
    """Prepares the grammars of a model that can't follow any."""


def _compile(grammars: Grammars, constraint: Constraint) -> Grammar:
    grammar = compile_constraint(constraint, grammars.compile)
    for text, part in prefixes(constraint):
        try:
            grammars.try_out(grammar, text)
        except InvalidRequest as error:
            raise with_origin(part, error) from error
    return grammar


def _start_with_stack(thread: threading.Thread) -> None:
    """The stack only reserves address space; unused parts take no memory."""
    usual = threading.stack_size(STACK_BYTES)
    try:
        thread.start()
    finally:
        threading.stack_size(usual)


def _lower_priority(thread: threading.Thread) -> None:
    if sys.platform == "linux" and thread.native_id is not None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread.native_id, _OVERDUE_NICENESS)
