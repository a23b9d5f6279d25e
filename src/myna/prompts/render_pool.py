"""Chat templates rendered in processes of their own, for every request. Owns those processes.

Callers are threads, and wait here without the GIL. A hostile template costs its own model: it is killed
after a bounded time, and holds up one thread at a time.
"""

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

TOO_LONG: Final = "it ran too long"
HEAVY_S: Final = 0.5  # of processor time; a render over it needs a heavy one's place
_LOOK_S: Final = 0.1
_MAX_PROCESSES: Final = 8
_PACKAGES: Final = str(Path(__file__).parents[2])


class TemplateFault(Exception):
    """The template failed on these variables; says the name of its exception."""


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """Seconds of processor time for a render and for trying out a new template; `wall_s` is real time, for a
    process that neither works nor ends."""

    cpu_s: float = 5.0
    probe_s: float = 10.0
    wall_s: float = 30.0


class RenderPool:
    """Thread-safe. Processes are started when they are needed and kept, at most `size` of them."""

    def __init__(self, limits: RenderLimits | None = None, size: int = 0) -> None:
        self._limits = limits or RenderLimits()
        self._size = size or min(max(2, os.cpu_count() or 1), _MAX_PROCESSES)
        self._places = threading.Semaphore(self._size)
        self._lock = threading.Lock()
        self._idle: list[_RenderProcess] = []
        self._heavy: set[str] = set()

    def render(self, source: str, variables: Mapping[str, object]) -> str:
        """The text. `variables` are plain values. Raises `TemplateRefusal`, `TemplateOutOfBounds` or
        `TemplateFault`; `Overloaded` where heavy renders of this template leave no room for one more."""
        limits = self._limits
        question = marshal.dumps(("render", limits.cpu_s, source, dict(variables)))
        with self._places, contextlib.ExitStack() as stack:
            process = self._take()
            watch = _Watch(
                process,
                limits.cpu_s,
                limits.wall_s,
                lambda: stack.enter_context(self._heavy_place(source)),
            )
            kind, text = self._ask(process, question, watch)
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
        limits = self._limits
        process = _RenderProcess()
        watch = _Watch(process, limits.probe_s, limits.wall_s)
        question = marshal.dumps(("probe", limits.probe_s, source, bos, eos))
        try:
            kind, text = self._ask(process, question, watch)
        except TemplateOutOfBounds as exc:
            raise _unusable(str(exc)) from None
        if kind != Kind.FEATURES:
            raise _unusable(text)
        features = msgspec.json.decode(text, type=TemplateFeatures)
        if features.fault:
            raise _unusable(features.fault)
        return features

    def close(self) -> None:
        """End the processes that no render uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    @property
    def pids(self) -> list[int]:
        """Of the processes that wait for work."""
        with self._lock:
            return [process.pid for process in self._idle]

    def _ask(self, process: "_RenderProcess", question: bytes, watch: "_Watch") -> tuple[str, str]:
        is_sound = False
        try:
            kind, text = process.ask(question, watch)
            is_sound = kind != Kind.OUT_OF_BOUNDS  # what it took of memory may stay taken
        finally:
            with self._lock:
                is_kept = is_sound and len(self._idle) < self._size
                if is_kept:
                    self._idle.append(process)
            if not is_kept:
                process.end()
        return kind, text

    def _take(self) -> "_RenderProcess":
        """One that waits for work, else a new one."""
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return _RenderProcess()
            if process.is_alive:
                return process
            process.end()

    @contextlib.contextmanager
    def _heavy_place(self, source: str) -> Iterator[None]:
        """One for each template, and never all processes for heavy ones."""
        with self._lock:
            if source in self._heavy or len(self._heavy) >= self._size - 1:
                raise Overloaded(
                    N_("The model's chat template takes too long for this many requests at once.")
                )
            self._heavy.add(source)
        try:
            yield
        finally:
            with self._lock:
                self._heavy.remove(source)


@functools.cache
def shared_pool() -> RenderPool:
    """The pool of this process, for all its models."""
    pool = RenderPool()
    atexit.register(pool.close)
    return pool


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
        ours.settimeout(_LOOK_S)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """Processor time that it has used so far."""
        try:
            times = psutil.Process(self.pid).cpu_times()
        except (psutil.Error, OSError):
            return 0.0
        return float(times.user + times.system)

    def ask(self, question: bytes, on_wait: Callable[[], None]) -> tuple[str, str]:
        """The kind of the answer and its text. Raises `TemplateOutOfBounds` where the process ends over it,
        and what `on_wait` raises, which is called now and then."""
        with contextlib.suppress(OSError):  # it ended; so says the answer
            send(self._socket, question, on_wait)
        answer = receive(self._socket, on_wait)
        if answer is not None:
            return chr(answer[0]), answer[1:].decode("utf-8", "surrogatepass")
        self._process.kill()
        if self._process.wait() == -signal.SIGPROF:
            raise TemplateOutOfBounds(TOO_LONG)
        raise TemplateOutOfBounds("it took too much memory, or went too deep")

    def end(self) -> None:
        """Idempotent."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


class _Watch:
    """Called while a question is waited for; bounds its time. `on_heavy` may raise."""

    def __init__(
        self, process: _RenderProcess, cpu_s: float, wall_s: float, on_heavy: Callable[[], None] | None = None
    ) -> None:
        self._process = process
        self._cpu_s, self._ends = cpu_s, time.monotonic() + wall_s
        self._on_heavy = on_heavy
        self._before_s: float | None = None

    def __call__(self) -> None:
        """Raises `TemplateOutOfBounds` when the time is over."""
        now_s = self._process.cpu_s()
        if self._before_s is None:
            self._before_s = now_s
        if self._on_heavy is not None and now_s - self._before_s > HEAVY_S:
            self._on_heavy()
            self._on_heavy = None
        if now_s - self._before_s > self._cpu_s or time.monotonic() > self._ends:
            raise TemplateOutOfBounds(TOO_LONG)


def _unusable(why: str) -> ModelFileError:
    return ModelFileError(N_("The model's chat template can't be used: {why}.", why=why))
