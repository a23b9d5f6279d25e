"""Renders chat templates in separate processes. Owns those processes.

Callers are threads, and wait here without the GIL. A hostile template only affects its own model: its process
is killed after a bounded time, and blocks one thread at a time."""

import atexit
import contextlib
import functools
import marshal
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import psutil

from myna.core.environment import child_environment
from myna.core.errors import ModelFileError, Overloaded
from myna.core.translatable import N_
from myna.prompts.render_frames import Kind, receive, send
from myna.prompts.template_bounds import TemplateOutOfBounds
from myna.prompts.template_probe import TemplateFeatures
from myna.prompts.template_sandbox import TemplateRefusal

TOO_LONG: Final = "it took too long"
HEAVY_S: Final = 0.5  # of processor time; a render over it needs a heavy one's place
_POLL_S: Final = 0.1
_END_S: Final = 2.0
_MAX_PROCESSES: Final = 8
_PACKAGES: Final = str(Path(__file__).parents[2])


class TemplateFault(Exception):
    """The template failed on these variables; the message is the exception's name."""


class _Interrupted(Exception):
    """The process was killed or stopped from outside: by the kernel, for one, when memory is short."""


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """Seconds of processor time to render a template, for all renders of one request, and to probe a new
    template; `wall_s` is wall-clock time, for a process that neither computes nor ends."""

    cpu_s: float = 5.0
    request_s: float = 10.0
    probe_s: float = 10.0
    wall_s: float = 30.0


class RenderPool:
    """Thread-safe. Processes are started on demand and reused, at most `size` of them."""

    def __init__(self, limits: RenderLimits | None = None, size: int = 0) -> None:
        self._limits = limits or RenderLimits()
        self._size = size or min(max(2, os.cpu_count() or 1), _MAX_PROCESSES)
        self._slots = threading.Semaphore(self._size)
        self._lock = threading.Lock()
        self._idle: list[_RenderProcess] = []
        self._heavy: set[str] = set()

    def for_request(self, source: str) -> "RequestRenders":
        """The renders of one request, whose time is bounded together."""
        return RequestRenders(self, source, self._limits.request_s)

    def render(self, source: str, variables: Mapping[str, object], time: "_Time | None" = None) -> str:
        """The text. `variables` are plain values. Raises `TemplateRefusal`, `TemplateOutOfBounds` or
        `TemplateFault`; `Overloaded` where heavy renders of this template leave no room for one more. What it
        takes is subtracted from `time`, which may be less than a render has."""
        time = time or _Time(self._limits.cpu_s)
        kind, text = _again_if_interrupted(lambda: self._render(source, variables, time))
        if kind == Kind.TEXT:
            return text
        if kind == Kind.REFUSAL:
            raise TemplateRefusal(text)
        if kind == Kind.FAULT:
            raise TemplateFault(text)
        raise TemplateOutOfBounds(text)

    def probe(self, source: str, *, bos: str, eos: str) -> TemplateFeatures:
        """Compile the template and render small conversations, in a process of its own, which then waits
        for the model's first request. Raises `ModelFileError` for one that fails on a single user message,
        does not end in time, or takes too much memory."""
        request = marshal.dumps(("probe", self._limits.probe_s, source, bos, eos))
        try:
            kind, text = _again_if_interrupted(lambda: self._probe(request))
        except TemplateOutOfBounds as exc:
            raise _unusable(str(exc)) from None
        if kind != Kind.FEATURES:
            raise _unusable(text)
        features = msgspec.json.decode(text, type=TemplateFeatures)
        if features.fault:
            raise _unusable(features.fault)
        return features

    def close(self) -> None:
        """End the idle processes."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    @property
    def pids(self) -> list[int]:
        """The ids of the idle processes."""
        with self._lock:
            return [process.pid for process in self._idle]

    def _render(self, source: str, variables: Mapping[str, object], time: "_Time") -> tuple[str, str]:
        limit_s = min(self._limits.cpu_s, time.left_s)
        if limit_s <= 0:
            raise TemplateOutOfBounds(TOO_LONG)
        request = marshal.dumps(("render", limit_s, source, dict(variables)))
        with self._slots, contextlib.ExitStack() as stack:
            process = self._take()
            watch = _Watch(
                process,
                limit_s,
                self._limits.wall_s,
                lambda: stack.enter_context(self._heavy_slot(source)),
            )
            before_s = process.cpu_s()
            try:
                return self._call(process, request, watch)
            finally:
                time.left_s -= max(process.cpu_s() - before_s, 0.0)  # 0 once it has ended

    def _probe(self, request: bytes) -> tuple[str, str]:
        process = _RenderProcess()
        watch = _Watch(process, self._limits.probe_s, self._limits.wall_s)
        return self._call(process, request, watch)

    def _call(self, process: "_RenderProcess", request: bytes, watch: "_Watch") -> tuple[str, str]:
        is_sound = False
        try:
            kind, text = process.call(request, watch)
            is_sound = kind != Kind.OUT_OF_BOUNDS  # it may not have freed its memory
        finally:
            with self._lock:
                is_kept = is_sound and len(self._idle) < self._size
                if is_kept:
                    self._idle.append(process)
            if not is_kept:
                process.end()
        return kind, text

    def _take(self) -> "_RenderProcess":
        """An idle process, or a new one."""
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return _RenderProcess()
            if process.is_alive:
                return process
            process.end()

    @contextlib.contextmanager
    def _heavy_slot(self, source: str) -> Iterator[None]:
        """Allow one heavy render per template, and never let heavy ones take all processes."""
        with self._lock:
            if source in self._heavy or len(self._heavy) >= self._size - 1:
                raise Overloaded(
                    N_("The model's chat template is too slow for this many concurrent requests.")
                )
            self._heavy.add(source)
        try:
            yield
        finally:
            with self._lock:
                self._heavy.remove(source)


@functools.cache
def shared_pool() -> RenderPool:
    """This process's pool, shared by all models."""
    pool = RenderPool()
    atexit.register(pool.close)
    return pool


@dataclass(slots=True)
class _Time:
    """Processor time that may still be used, in seconds."""

    left_s: float


class RequestRenders:
    """Renders a template for one request; raises as `RenderPool.render` does."""

    def __init__(self, pool: RenderPool, source: str, limit_s: float) -> None:
        self._pool = pool
        self._source = source
        self._time = _Time(limit_s)

    def __call__(self, variables: Mapping[str, object]) -> str:
        return self._pool.render(self._source, variables, self._time)


class _RenderProcess:
    """One template process, for one thread at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "myna.prompts.render_process", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=child_environment(os.environ) | {"PYTHONPATH": _PACKAGES},
                pass_fds=(theirs.fileno(),),
            )
        self._socket = ours
        ours.settimeout(_POLL_S)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def is_stopped(self) -> bool:
        """By SIGSTOP."""
        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except (psutil.Error, OSError):
            return False

    def cpu_s(self) -> float:
        """The processor time that it has used so far."""
        try:
            times = psutil.Process(self.pid).cpu_times()
        except (psutil.Error, OSError):
            return 0.0
        return float(times.user + times.system)

    def call(self, request: bytes, on_wait: Callable[[], None]) -> tuple[str, str]:
        """The kind of the reply and its text. Raises `TemplateOutOfBounds` where the process ends over it,
        `_Interrupted` where it is killed, and what `on_wait` raises, which is called now and then."""
        with contextlib.suppress(OSError):  # it ended; so says the reply
            send(self._socket, request, on_wait)
        reply = receive(self._socket, on_wait)
        if reply is not None:
            return chr(reply[0]), reply[1:].decode("utf-8", "surrogatepass")
        status = self._ended()
        if status == -signal.SIGKILL:
            raise _Interrupted
        if status == -signal.SIGPROF:
            raise TemplateOutOfBounds(TOO_LONG)
        raise TemplateOutOfBounds("it used too much memory or recursed too deeply")

    def _ended(self) -> int | None:
        """How the process ended, whose end of the socket is closed; None if it had to be killed."""
        try:
            return self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None

    def end(self) -> None:
        """Idempotent."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


class _Watch:
    """Called while waiting for a reply; enforces time limits. `on_heavy` may raise."""

    def __init__(
        self, process: _RenderProcess, cpu_s: float, wall_s: float, on_heavy: Callable[[], None] | None = None
    ) -> None:
        self._process = process
        self._cpu_s, self._ends = cpu_s, time.monotonic() + wall_s
        self._on_heavy = on_heavy
        self._before_s: float | None = None

    def __call__(self) -> None:
        """Raises `TemplateOutOfBounds` when the time is over, `_Interrupted` if the process is stopped."""
        if self._process.is_stopped:
            raise _Interrupted
        now_s = self._process.cpu_s()
        if self._before_s is None:
            self._before_s = now_s
        if self._on_heavy is not None and now_s - self._before_s > HEAVY_S:
            self._on_heavy()
            self._on_heavy = None
        if now_s - self._before_s > self._cpu_s or time.monotonic() > self._ends:
            raise TemplateOutOfBounds(TOO_LONG)


def _again_if_interrupted(ask: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """Raises `Overloaded` if the second process is killed or stopped, too."""
    with contextlib.suppress(_Interrupted):
        return ask()
    try:
        return ask()
    except _Interrupted:
        raise Overloaded(
            N_("The processes that render chat templates are being killed or stopped.")
        ) from None


def _unusable(why: str) -> ModelFileError:
    return ModelFileError(N_("The model's chat template can't be used: {why}.", why=why))
