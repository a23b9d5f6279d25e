"""Decides when a worker process no longer works. Pure: no clock, no process, no I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_BUSY_SHARE: Final = 0.02  # of a core; answering pings takes a tenth of that at most
_READ_BYTES: Final = 4096  # per tick; what pings themselves read is some tens of bytes


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a worker may show no sign, in ticks of `tick_s` seconds of the server's own running time.

    `silent`: nothing answers. `stuck`: the process answers, its loop takes no step. `loading`: the model is
    being loaded and no byte of it is read. A tick in which the process computes, or waits for a core or a
    disk, counts as one `busy`-th.
    """

    tick_s: float = 1.0
    silent: int = 10
    stuck: int = 30
    loading: int = 180
    busy: int = 6


@dataclass(frozen=True, slots=True)
class Usage:
    """What the system says about a process: processor time and bytes read since it began; whether it is
    waiting for a core or a disk; whether it was stopped (SIGSTOP)."""

    cpu_s: float = 0.0
    read_bytes: int = 0
    is_waiting: bool = False
    is_stopped: bool = False


class Watchdog:
    """Told what is heard from the worker; asked once per tick whether to end it.

    Ticks are counted instead of seconds, so that neither a server that was itself held up nor a computer
    that slept takes a worker for dead.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._last: Usage | None = None
        self._beats = -1
        self._silent = self._stuck = 0.0
        self._has_answered = False
        self.is_loaded = False

    @property
    def is_answering(self) -> bool:
        """Whether a request sent now has a chance: at most a third of the patience is used up."""
        patience = self._patience
        return 3 * self._silent < patience.silent and 3 * self._stuck < patience.stuck

    def heard(self) -> None:
        """Any frame came."""
        self._silent = 0.0

    def answered(self, beats: int) -> None:
        """A ping was answered; `beats` counts the turns of the worker's loop."""
        self._has_answered = True
        self._silent = 0.0
        if beats != self._beats:
            self._beats, self._stuck = beats, 0.0

    def loaded(self) -> None:
        self.is_loaded = True
        self._stuck = 0.0

    def tick(self, look: Callable[[], Usage]) -> str:
        """Another tick has passed. Returns why the worker has to be ended, or "". `look` is called only
        where something is amiss."""
        if not self._silent and not self._stuck:
            self._silent = self._stuck = 1.0
            self._last = None
            return ""
        now, last = look(), self._last
        self._last = now
        if last is not None and not self.is_loaded and now.read_bytes - last.read_bytes > _READ_BYTES:
            self._stuck = 0.0
        share = 1 / self._patience.busy if self._is_busy(last, now) else 1.0
        self._silent += share
        self._stuck += share
        return self._verdict(now)

    def _is_busy(self, last: Usage | None, now: Usage) -> bool:
        if now.is_stopped:
            return False
        has_computed = last is not None and now.cpu_s - last.cpu_s > _BUSY_SHARE * self._patience.tick_s
        return has_computed or now.is_waiting

    def _verdict(self, now: Usage) -> str:
        patience = self._patience
        is_starting = not self._has_answered and not now.is_stopped  # imports answer nothing yet
        if self._silent > (patience.loading if is_starting else patience.silent):
            return "it was stopped" if now.is_stopped else "it stopped answering"
        if self.is_loaded and self._stuck > patience.stuck:
            return "it hung at work"
        if not self.is_loaded and self._stuck > patience.loading:
            return "its load made no progress"
        return ""
