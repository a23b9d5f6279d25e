"""One worker process: starting, sending frames, capturing stderr, reaping. Knows no requests."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, cast

import psutil

from myna.core.errors import ConfigurationError, ModelLoadFailed
from myna.core.generator import ModelInfo
from myna.core.translatable import N_
from myna.workers import frames
from myna.workers.confinement import confinement_of
from myna.workers.connection import OnMessage
from myna.workers.frames import Command, Load, LoadFailed, Ping, Pong, Ready, WorkerMessage, WorkerSpec
from myna.workers.launching import EarlyWorker, Inherited, launch
from myna.workers.prefix_store import PrefixStore
from myna.workers.process_tree import process_tree
from myna.workers.program import OWN, WorkerProgram
from myna.workers.steplock import StepLock
from myna.workers.watchdog import ProcessUsage, ProgressLimits, Watchdog

_log: Final = logging.getLogger("myna.worker")
_LAST_LINES: Final = 5
_LINE_BYTES: Final = 4096
_GRACE_S: Final = 2.0
_KILL_S: Final = 10.0
_GROUP_CHECKS: Final = 40
_GROUP_CHECK_S: Final = 0.05


class WorkerProcess:
    """A `Connection` over a socket pair; `gone` when the process or its socket has ended.

    From its start on, the process is watched and killed if it stops working (`watchdog`).
    """

    def __init__(
        self,
        spec: WorkerSpec,
        patience: ProgressLimits,
        on_message: OnMessage,
        program: WorkerProgram = OWN,
        early: EarlyWorker | None = None,
    ) -> None:
        """`early` may have a process of that program that is then used."""
        self._spec = spec
        self._program = program
        self._early = early or EarlyWorker()
        self._forward = on_message
        self._patience = patience
        self._watchdog = Watchdog(patience)
        self._watching: asyncio.Task[None] | None = None
        self._hang_reason = ""
        self._stderr = _Stderr()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._link: _Link | None = None
        self._is_stderr_connected = False
        loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[Ready | LoadFailed] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    async def start(self) -> ModelInfo:
        """Start the process and wait until its model is loaded. Raises `ModelLoadFailed`, with the worker's
        own reason or how it died."""
        with self._open_step_lock() as step_lock, await self._open_prefix_store() as prefixes:
            connection = await self._launch(step_lock, prefixes)
        loop = asyncio.get_running_loop()
        link = _Link(self._on_message, self._lost)
        _, self._link = await loop.create_connection(lambda: link, sock=connection)
        self.send(Load(self._spec))
        self._watching = asyncio.create_task(self._watch())
        await asyncio.wait((self._loaded, self.gone), return_when=asyncio.FIRST_COMPLETED)
        if self._loaded.done():
            answer = self._loaded.result()
            if isinstance(answer, Ready):
                self._watchdog.on_loaded()
                return answer.info
            await self.close()
            raise ModelLoadFailed(answer.message)
        death = await self.close()
        raise ModelLoadFailed(
            N_(
                "The worker process ended while loading {path}: {death}.{quoted}",
                path=self._spec.path,
                death=death,
                quoted=self._stderr.quoted(),
            )
        )

    def send(self, command: Command) -> None:
        """Queue a frame; it is lost if the worker is `gone`."""
        if self._link is not None:
            self._link.write(frames.encode(command))

    async def close(self) -> str:
        """End the process, if it is alive, and return how it ended. Idempotent.

        It has nothing to save, so it is killed; one that ends by itself, or other processes with it, gets a
        moment to exit.
        """
        if self._watching is not None:
            self._watching.cancel()
        if self._link is not None:
            self._link.close()
        elif self._socket is not None:
            self._socket.close()
        if self._process is None:
            return "it was not started"
        grace_s = _GRACE_S if self.gone.done() else self._program.exit_s
        status = await _wait(self._process, grace_s) if grace_s else None
        if status is None:
            self._process.kill()
            status = await _wait(self._process, _KILL_S)
        self._lost()
        if self._program.has_processes:
            await _end_group(self._process.pid)
        if status is None:  # in an uninterruptible system call; it dies when that returns
            return "it could not be killed"
        if self._is_stderr_connected:
            await asyncio.wait((self._stderr.closed,), timeout=_GRACE_S)
        return f"{self._hang_reason}, so it was killed" if self._hang_reason else _describe(status)

    @property
    def is_answering(self) -> bool:
        return self._watchdog.is_answering

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def _open_step_lock(self) -> contextlib.AbstractContextManager[StepLock | None]:
        if not self._spec.step_lock:
            return contextlib.nullcontext()
        try:
            return contextlib.closing(StepLock.open(Path(self._spec.step_lock)))
        except ConfigurationError as exc:
            raise ModelLoadFailed(exc.text) from exc

    async def _open_prefix_store(self) -> contextlib.AbstractContextManager[PrefixStore | None]:
        spec = self._spec
        if not spec.prefix_file:
            return contextlib.nullcontext()
        store = await asyncio.to_thread(PrefixStore.open, Path(spec.prefix_file), spec.prefix_bytes)
        return contextlib.closing(store) if store is not None else contextlib.nullcontext()

    async def _launch(self, step_lock: StepLock | None, prefixes: PrefixStore | None) -> socket.socket:
        """Get a process, and return the server's end of its socket. Called from the event loop's thread: the
        kernel's parent-death signal is bound to the spawning thread."""
        # At its end, a worker whose test coverage is measured writes that to a file.
        is_measured = "COVERAGE_PROCESS_CONFIG" in os.environ
        is_free = is_measured or not self._program.is_confined
        confinement = None if is_free else confinement_of(self._spec)
        inherited = Inherited(*(None if one is None else one.fileno() for one in (step_lock, prefixes)))
        launched = self._early.take(confinement, inherited)
        if launched is None:  # milliseconds, and our own command
            launched = launch(self._program, confinement, inherited)
        self._process, self._socket = launched.process, launched.socket
        self._socket.setblocking(False)
        pipe = os.fdopen(launched.output, "rb", 0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: self._stderr, pipe)
        self._is_stderr_connected = True
        return self._socket

    async def _watch(self) -> None:
        """Kill the worker if it hangs."""
        assert self._process is not None
        measure = partial(_usage, self._process.pid)
        while not self.gone.done():
            self.send(Ping())
            await asyncio.sleep(self._patience.tick_s)
            self._hang_reason = self._watchdog.tick(measure)
            if self._hang_reason:
                self._process.kill()
                self._lost()
                return

    def _on_message(self, message: WorkerMessage) -> None:
        self._watchdog.on_message()
        if isinstance(message, Pong):
            self._watchdog.on_pong(message.num_turns)
        elif isinstance(message, Ready | LoadFailed):
            if not self._loaded.done():
                self._loaded.set_result(message)
        else:
            self._forward(message)

    def _lost(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


class _Link(asyncio.Protocol):
    """The server's end of the socket."""

    def __init__(self, on_message: Callable[[WorkerMessage], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._splitter = frames.FrameSplitter()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for payload in self._splitter.feed(data):
                self._on_message(frames.decode_message(payload))
        except ValueError:  # msgspec's errors are subclasses
            _log.exception("the worker sent an invalid frame")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Stderr(asyncio.Protocol):
    """Logs what the worker and its libraries print, and keeps the last lines to explain a death."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._rest = b""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._take(line)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._take(self._rest)
        if not self.closed.done():
            self.closed.set_result(None)

    def quoted(self) -> str:
        """The last lines, to append to a message about a death."""
        return f" Last output: {' / '.join(self._lines)}" if self._lines else ""

    def _take(self, line: bytes) -> None:
        text = line[:_LINE_BYTES].decode(errors="replace").strip()
        if text:
            self._lines.append(text)
            _log.info("%s", text)


def _usage(pid: int) -> ProcessUsage:
    """The resource usage of the process and those that it started; without those that are gone."""
    usages = [_usage_alone(one) for one in process_tree(pid)]
    return ProcessUsage(
        sum(usage.cpu_s for usage in usages),
        sum(usage.read_bytes for usage in usages),
        any(usage.is_waiting for usage in usages),
        usages[0].is_stopped,
    )


def _usage_alone(pid: int) -> ProcessUsage:
    try:
        process = psutil.Process(pid)
        times, status = process.cpu_times(), process.status()
        read_bytes = 0
        if hasattr(process, "io_counters"):  # not on macOS
            counters = process.io_counters()
            read_bytes = counters.read_bytes + counters.read_chars
    except (psutil.Error, OSError):
        return ProcessUsage()
    is_waiting = status in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
    return ProcessUsage(times.user + times.system, read_bytes, is_waiting, status == psutil.STATUS_STOPPED)


async def _end_group(leader: int) -> None:
    """Kill what is left of the group after its leader's end. Those that clean up after the others, such as
    files in shared memory, get a moment."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        for _ in range(_GROUP_CHECKS):
            os.killpg(leader, 0)
            await asyncio.sleep(_GROUP_CHECK_S)
        os.killpg(leader, signal.SIGKILL)


async def _wait(process: subprocess.Popen[bytes], timeout_s: float | None) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return await asyncio.to_thread(process.wait, timeout_s)
    return None


def _describe(status: int) -> str:
    if status >= 0:
        return f"it exited with status {status}"
    with contextlib.suppress(ValueError):
        return f"it was killed by {signal.Signals(-status).name}"
    return f"it was killed by signal {-status}"
