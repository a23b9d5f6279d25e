"""What the loops of both kinds of models have in common: commands in, steps, events out."""

import gc
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol

from myna.core.errors import GenerationFailed, MynaError
from myna.core.generator import ModelInfo
from myna.core.requests import GenerationRequest, ModelRequest
from myna.core.stats import SchedulerStats
from myna.decoding.grammar import Grammar
from myna.scheduling.saved_prefixes import SavedPrefix
from myna.scheduling.sequence import RequestEvent

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


class Add(NamedTuple):
    number: int
    request: ModelRequest


class Compiled(NamedTuple):
    number: int
    request: GenerationRequest
    grammar: Grammar | MynaError


class PrefixChecked(NamedTuple):
    """That many chunks of the saved prefix of a request are intact."""

    number: int
    request: GenerationRequest
    saved: SavedPrefix
    num_intact: int


class Abort(NamedTuple):
    number: int


class Tokenize(NamedTuple):
    number: int
    text: str
    parse_special: bool


class Stop(NamedTuple):
    pass


Command = Add | PrefixChecked | Compiled | Abort | Tokenize | Stop


class Mailbox:
    """The commands for a loop's thread, which sleeps while there are none. `num_turns` counts the iterations
    of its loop; if it stops rising, the loop hangs."""

    def __init__(self) -> None:
        self.commands: deque[Command] = deque()
        self._condition = threading.Condition()
        self.num_turns = 0

    def send(self, command: Command) -> None:
        with self._condition:
            self.commands.append(command)
            self._condition.notify()

    def ping(self) -> None:
        """Wake the loop so that it counts a turn even when idle."""
        with self._condition:
            self._condition.notify()

    def count_turn(self) -> bool:
        """Count an iteration. Returns whether there are commands."""
        self.num_turns += 1
        return bool(self.commands)

    def wait(self) -> None:
        """Return when there is a command."""
        with self._condition:
            self._condition.wait_for(self.count_turn)


class TokenizingEngine(Protocol):
    """What the loop itself needs of any engine."""

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]: ...


class Loop(ABC):
    """The loop of one engine, in its thread. `step_lock` is to be held while the engine computes."""

    def __init__(
        self,
        mailbox: Mailbox,
        sink: OutputSink,
        step_lock: AbstractContextManager[object],
        engine: TokenizingEngine,
    ) -> None:
        self._mailbox = mailbox
        self._sink = sink
        self._step_lock = step_lock
        self._tokenizing = engine
        self._is_stopped = False

    def run(self) -> None:
        mailbox, last_stats = self._mailbox, 0.0
        while True:
            mailbox.count_turn()
            if self._is_idle() and not mailbox.commands:
                self._sink.stats(self._stats())
                self._wait()
            while mailbox.commands:
                self._handle(mailbox.commands.popleft())
            if self._is_stopped:
                return
            if self._is_idle():
                continue
            if events := self._step():
                self._sink.events(events)
            now = time.monotonic()
            if now - last_stats > _STATS_S:
                self._sink.stats(self._stats())
                last_stats = now

    @abstractmethod
    def _is_idle(self) -> bool:
        """Whether there is nothing to compute."""

    @abstractmethod
    def _add(self, number: int, request: ModelRequest) -> None: ...

    @abstractmethod
    def _abort(self, number: int) -> None: ...

    @abstractmethod
    def _step(self) -> list[RequestEvent]: ...

    @abstractmethod
    def _stats(self) -> SchedulerStats: ...

    def _take_compiled(self, command: Compiled) -> None:
        """For loops that compile constraints."""
        raise AssertionError("no constraint was to be compiled")

    def _take_prefix_checked(self, command: PrefixChecked) -> None:
        """For loops that restore saved prefixes."""
        raise AssertionError("no prefix was to be restored")

    def _wait(self) -> None:
        if not gc.isenabled():
            gc.collect()  # workers collect garbage when idle, when no request is waiting for a token
        self._mailbox.wait()

    def _handle(self, command: Command) -> None:
        if isinstance(command, Add):
            self._add(command.number, command.request)
        elif isinstance(command, Compiled):
            self._take_compiled(command)
        elif isinstance(command, PrefixChecked):
            self._take_prefix_checked(command)
        elif isinstance(command, Abort):
            self._abort(command.number)
        elif isinstance(command, Tokenize):
            self._sink.tokenized(command.number, self._tokenize(command))
        else:
            self._is_stopped = True

    def _tokenize(self, command: Tokenize) -> list[int] | MynaError:
        try:
            return self._tokenizing.tokenize(command.text, parse_special=command.parse_special)
        except Exception as error:
            return GenerationFailed(f"The engine can't tokenize this text: {error}")
