"""Decides when a worker process hangs. Pure: no clock, no process, no I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_BUSY_SHARE: Final = 0.02  # of a core; answering pings takes a tenth of that at most
_READ_BYTES: Final = 4096  # per tick; pings themselves read a few dozen bytes


@dataclass(frozen=True, slots=True)
class ProgressLimits:
    """How long a worker may make no progress, in ticks of `tick_s` seconds of the server's running time.

    `silent`: it sends nothing. `stuck`: the process responds, but its loop doesn't turn. `loading`: the model
    is loading, but nothing is read. A tick in which the process computes, or waits for a core or a disk, only
    counts 1 / `busy`. `unnoticed`: a loaded worker whose loop doesn't turn for this long counts as not ready,
    whatever the process does."""

    tick_s: float = 1.0
    silent: int = 10
    stuck: int = 30
    loading: int = 180
    busy: int = 6
    unnoticed: int = 10


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """A process's resource usage: processor time and bytes read since its start; whether it is waiting for a
    core or a disk; whether it was stopped (SIGSTOP)."""

    cpu_s: float = 0.0
    read_bytes: int = 0
    is_waiting: bool = False
    is_stopped: bool = False


class Watchdog:
    """Notified of every message from the worker; `tick` decides once per tick whether to kill it.

    It counts ticks instead of seconds, so that a worker isn't killed because the server was blocked or the
    computer was suspended.
    """

    def __init__(self, patience: ProgressLimits) -> None:
        self._patience = patience
        self._last: ProcessUsage | None = None
        self._num_turns = -1
        self._silent = self._stuck = 0.0
        self._num_ticks = 0  # since the loop's last turn
        self._has_answered = False
        self.is_loaded = False

    @property
    def is_answering(self) -> bool:
        """Whether a request sent now is likely to be answered: at most a third of the patience is used up,
        and the loop has turned recently."""
        patience = self._patience
        if self.is_loaded and self._num_ticks > patience.unnoticed:
            return False
        return 3 * self._silent < patience.silent and 3 * self._stuck < patience.stuck

    def on_message(self) -> None:
        """Any frame arrived."""
        self._silent = 0.0

    def on_pong(self, num_turns: int) -> None:
        """A ping was answered; `num_turns` counts the iterations of the worker's loop."""
        self._has_answered = True
        self._silent = 0.0
        if num_turns != self._num_turns:
            self._num_turns, self._stuck, self._num_ticks = num_turns, 0.0, 0

    def on_loaded(self) -> None:
        self.is_loaded = True
        self._stuck, self._num_ticks = 0.0, 0

    def tick(self, measure: Callable[[], ProcessUsage]) -> str:
        """Another tick has passed. Returns why the worker must be killed, or "". `measure` is only called if
        something seems wrong."""
        self._num_ticks += 1
        if not self._silent and not self._stuck:
            self._silent = self._stuck = 1.0
            self._last = None
            return ""
        now, last = measure(), self._last
        self._last = now
        if last is not None and not self.is_loaded and now.read_bytes - last.read_bytes > _READ_BYTES:
            self._stuck = 0.0
        share = 1 / self._patience.busy if self._is_busy(last, now) else 1.0
        self._silent += share
        self._stuck += share
        return self._hang_reason(now)

    def _is_busy(self, last: ProcessUsage | None, now: ProcessUsage) -> bool:
        if now.is_stopped:
            return False
        has_computed = last is not None and now.cpu_s - last.cpu_s > _BUSY_SHARE * self._patience.tick_s
        return has_computed or now.is_waiting

    def _hang_reason(self, now: ProcessUsage) -> str:
        patience = self._patience
        is_starting = not self._has_answered and not now.is_stopped  # still importing modules
        if self._silent > (patience.loading if is_starting else patience.silent):
            return "it was stopped" if now.is_stopped else "it stopped answering"
        if self.is_loaded and self._stuck > patience.stuck:
            return "it hung while running"
        if not self.is_loaded and self._stuck > patience.loading:
            return "loading made no progress"
        return ""
