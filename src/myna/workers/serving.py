"""The worker process: passes commands from its socket to the engine core, and events back. Knows no HTTP."""

import contextlib
import gc
import logging
import os
import socket
import sys
import threading
from typing import Final

from myna.core.errors import MynaError
from myna.core.generator import ModelInfo
from myna.core.stats import SchedulerStats
from myna.scheduling.core_loop import EngineCore
from myna.scheduling.sequence import RequestEvent
from myna.workers import frames
from myna.workers.frames import Abort, Load, Submit
from myna.workers.loading import load_model
from myna.workers.main import LENGTH
from myna.workers.steplock import StepLock

_log: Final = logging.getLogger(__name__)


class _Reporter:
    """Writes to the socket: the engine core's output, from its thread, and pongs, from the socket's thread.

    If the server reads slowly, writes block, and with them the model: this is the back-pressure.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._is_writing = threading.Lock()

    def ready(self, info: ModelInfo) -> None:
        gc.freeze()  # what was loaded stays, and garbage collections needn't look at it
        gc.disable()  # the loop collects garbage when idle
        self._send(frames.encode(frames.Ready(info)))

    def events(self, events: list[RequestEvent]) -> None:
        self._send(frames.encode_events(events))

    def stats(self, stats: SchedulerStats) -> None:
        self._send(frames.encode(frames.Stats(stats)))

    def tokenized(self, number: int, result: list[int] | MynaError) -> None:
        if isinstance(result, MynaError):
            answer = frames.Tokenized(number, [], frames.Failure.of(result))
        else:
            answer = frames.Tokenized(number, result)
        self._send(frames.encode(answer))

    def pong(self, num_turns: int) -> None:
        self._send(frames.encode(frames.Pong(num_turns)))

    def ended(self, error: MynaError | None) -> None:
        if error is not None:
            self._send(frames.encode(frames.LoadFailed(error.text)))
        _exit(0 if error is None else 1)

    def _send(self, frame: bytes) -> None:
        try:
            with self._is_writing:
                self._connection.sendall(frame)
        except OSError:
            _exit(0)  # the server is gone


def serve(connection: socket.socket, step_lock: StepLock | None, prefix_file: int | None = None) -> None:
    """Load the model of the first frame, then serve until the socket closes."""
    payload = receive(connection)
    command = frames.decode_command(payload) if payload is not None else None
    if not isinstance(command, Load):
        return
    spec = command.spec
    reporter = _Reporter(connection)
    core = EngineCore(lambda: load_model(spec, prefix_file), reporter, step_lock)
    core.start()
    while (payload := receive(connection)) is not None:
        command = frames.decode_command(payload)
        if isinstance(command, Submit):
            core.add(command.number, command.request)
        elif isinstance(command, Abort):
            core.abort(command.number)
        elif isinstance(command, frames.Tokenize):
            core.tokenize(command.number, command.text, parse_special=command.parse_special)
        elif isinstance(command, frames.Ping):
            reporter.pong(core.num_turns)
            core.ping()


def run(connection: int, step_lock: int | None, prefix_file: int | None) -> None:
    """Serve on these descriptors. The process exits at once when its socket closes, whatever it is doing."""
    try:
        lock = None if step_lock is None else StepLock(step_lock)
        serve(socket.socket(fileno=connection), lock, prefix_file)
    except Exception:
        _log.exception("the worker failed")
        _exit(1)
    _exit(0)


def receive(connection: socket.socket) -> bytes | None:
    """The next frame's payload; None if the server has closed the socket."""
    with contextlib.suppress(ConnectionError):
        head = connection.recv(LENGTH.size, socket.MSG_WAITALL)
        if len(head) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack(head)
        payload = bytearray()
        while len(payload) < size:
            part = connection.recv(min(size - len(payload), 1 << 20))
            if not part:
                return None
            payload += part
        return bytes(payload)
    return None


def _exit(status: int) -> None:
    sys.stderr.flush()
    os._exit(status)
