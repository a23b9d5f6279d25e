"""Compiles constraints beside the loop: each within a deadline, equal ones once. Owns the threads for it.

llguidance can't be interrupted: a compile that is overdue is answered with an error and goes on in its
thread, at a lower priority. There are never more than a few of those, and limits of size bound each.
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
from myna.scheduling.grammar_text import beginnings, blamed, compile_constraint

_log: Final = logging.getLogger(__name__)
_DEADLINE_S: Final = (
    5.0  # shorter than a stream's first keep-alive, so that a refusal has its own HTTP status
)
_NUM_THREADS: Final = 2
_MOST_OVERDUE: Final = 2
_OVERDUE_NICENESS: Final = 10  # it must come to its end, too
_MAX_CACHED: Final = 32

Done = Callable[[Grammar | MynaError], None]
Answer = tuple[Done, MynaError]


@dataclass(slots=True, eq=False)
class _Job:
    """One constraint that is being compiled, or waits for that."""

    constraint: Constraint
    deadline: float
    waiting: list[tuple[Thought | None, Done]] = field(default_factory=list)
    thread: threading.Thread | None = None
    is_overdue: bool = False


class GrammarCompiler:
    """`submit` from any thread. Every compile has a thread of its own, with a stack that hostile grammars
    can't exceed; at most `num_threads` of them run within their deadline, and `most_overdue` beyond it."""

    def __init__(
        self,
        grammars: Grammars | None,
        *,
        deadline_s: float = _DEADLINE_S,
        num_threads: int = _NUM_THREADS,
        most_overdue: int = _MOST_OVERDUE,
    ) -> None:
        """`grammars` None: a model that can't follow any."""
        self._grammars = grammars
        self._deadline_s = deadline_s
        self._num_threads = num_threads
        self._most_overdue = most_overdue
        self._groups: OrderedDict[Constraint, _Job] = OrderedDict()
        self._compiled: OrderedDict[Constraint, Grammar | InvalidRequest] = OrderedDict()
        self._changed = threading.Condition()
        self._is_closed = False
        self._coordinator = threading.Thread(target=self._coordinate, name="myna-grammars", daemon=True)
        self._coordinator.start()

    def submit(self, constraint: Constraint, thought: Thought | None, done: Done) -> None:
        """Call `done` once with the grammar at its beginning or the error: at once where it is known, else
        from another thread."""
        with self._changed:
            known: Grammar | MynaError | None = self._compiled.get(constraint)
            if known is None:
                known = self._join(constraint, thought, done)
            else:
                self._compiled.move_to_end(constraint)
        if known is not None:
            done(self._begin(known, thought))

    def close(self) -> None:
        """Start nothing more. What runs ends by itself."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _join(self, constraint: Constraint, thought: Thought | None, done: Done) -> MynaError | None:
        """Wait for the constraint's job, or make one. An error if that is known to take too long."""
        group = self._groups.get(constraint)
        if group is not None and group.is_overdue:
            return self._too_slow(constraint)
        if group is None:
            group = self._groups[constraint] = _Job(constraint, time.monotonic() + self._deadline_s)
            self._changed.notify()
        group.waiting.append((thought, done))
        return None

    def _coordinate(self) -> None:
        """The coordinator's thread: starts what may start and answers for what is overdue."""
        while True:
            with self._changed:
                if self._is_closed:
                    return
                answers = self._start_jobs()
                answers += self._expire_jobs(time.monotonic())
                if not answers:
                    self._changed.wait(self._seconds_to_deadline())
            for done, error in answers:
                done(error)

    def _start_jobs(self) -> list[Answer]:
        """Start as many as may run; what to answer for one that the machine has no thread for."""
        running = [group for group in self._groups.values() if group.thread is not None]
        num_overdue = sum(group.is_overdue for group in running)
        free = self._num_threads - (len(running) - num_overdue)
        free = min(free, self._num_threads + self._most_overdue - len(running))
        for group in [group for group in self._groups.values() if group.thread is None][: max(0, free)]:
            group.thread = threading.Thread(target=self._run, args=(group,), name="myna-grammar", daemon=True)
            try:
                _start_with_stack(group.thread)
            except RuntimeError as exc:
                del self._groups[group.constraint]
                error = Overloaded(f"The grammar can't be compiled now: {exc}.")
                return [(done, error) for _, done in group.waiting]
        return []

    def _expire_jobs(self, now: float) -> list[Answer]:
        answers: list[Answer] = []
        for group in [
            group for group in self._groups.values() if not group.is_overdue and group.deadline <= now
        ]:
            if group.thread is None:
                del self._groups[group.constraint]
                error: MynaError = Overloaded("The model is busy compiling other grammars; try again soon.")
            else:
                group.is_overdue = True
                _lower_priority(group.thread)
                error = self._too_slow(group.constraint)
            answers += [(done, error) for _, done in group.waiting]
            group.waiting = []
        return answers

    def _seconds_to_deadline(self) -> float | None:
        deadlines = [group.deadline for group in self._groups.values() if not group.is_overdue]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _too_slow(self, constraint: Constraint) -> InvalidRequest:
        reason = f"The grammar is too complex: it takes more than {self._deadline_s:g} s to compile."
        return blamed(constraint, ConstraintTooComplex(reason))

    def _run(self, group: _Job) -> None:
        """A compile's thread."""
        result = self._compile(group.constraint)
        with self._changed:
            del self._groups[group.constraint]
            if isinstance(result, Grammar | InvalidRequest):
                self._compiled[group.constraint] = result
                if len(self._compiled) > _MAX_CACHED:
                    self._compiled.popitem(last=False)
            self._changed.notify()
        for thought, done in group.waiting:
            done(self._begin(result, thought))

    def _compile(self, constraint: Constraint) -> Grammar | MynaError:
        try:
            if self._grammars is None:
                raise InvalidRequest("This model can't follow grammars: no token ends its answers.")
            return _compile(self._grammars, constraint)
        except MynaError as error:
            return error
        except BaseException as error:  # a panic in llguidance is no Exception
            _log.exception("a grammar could not be compiled")
            return GenerationFailed(f"The grammar can't be compiled: {error}")

    def _begin(self, result: Grammar | MynaError, thought: Thought | None) -> Grammar | MynaError:
        if isinstance(result, MynaError):
            return copy(result)
        assert self._grammars is not None
        try:
            return self._grammars.begin(result, thought)
        except MynaError as error:  # the marks of a thought need a tokenizer
            return error


def _compile(grammars: Grammars, constraint: Constraint) -> Grammar:
    grammar = compile_constraint(constraint, grammars.compile)
    for text, part in beginnings(constraint):
        try:
            grammars.try_out(grammar, text)
        except InvalidRequest as error:
            raise blamed(part, error) from error
    return grammar


def _start_with_stack(thread: threading.Thread) -> None:
    """The stack is address space; what isn't used takes no memory."""
    usual = threading.stack_size(STACK_BYTES)
    try:
        thread.start()
    finally:
        threading.stack_size(usual)


def _lower_priority(thread: threading.Thread) -> None:
    if sys.platform == "linux" and thread.native_id is not None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread.native_id, _OVERDUE_NICENESS)
