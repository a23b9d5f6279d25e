"""A model's own process: orders from its socket to the scheduling loop, events back. Knows no HTTP.

Started by `workers.process` as `python -m myna.workers.main DESCRIPTOR`.
"""

import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Final

from myna.core.errors import MynaError
from myna.core.generator import ModelInfo
from myna.core.stats import SchedulerStats
from myna.scheduling.core_loop import EngineCore
from myna.scheduling.sequence import RequestEvent
from myna.workers import frames
from myna.workers.frames import Abort, Load, Submit
from myna.workers.loading import load_model
from myna.workers.steplock import StepLock

_LENGTH: Final = struct.Struct("<I")
_PR_SET_PDEATHSIG: Final = 1
_log: Final = logging.getLogger(__name__)


class _Reporter:
    """Writes to the socket: what the loop reports, from the loop's thread, and pongs, from the socket's.

    A server that reads slowly makes the write wait, and with it the model: that is the back-pressure.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._is_writing = threading.Lock()

    def ready(self, info: ModelInfo) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()  # the loop collects when it is idle
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

    def pong(self, beats: int) -> None:
        self._send(frames.encode(frames.Pong(beats)))

    def ended(self, error: MynaError | None) -> None:
        if error is not None:
            self._send(frames.encode(frames.LoadFailed(error.text)))
        _leave(0 if error is None else 1)

    def _send(self, frame: bytes) -> None:
        try:
            with self._is_writing:
                self._connection.sendall(frame)
        except OSError:
            _leave(0)  # the server is gone


def serve(connection: socket.socket) -> None:
    """Load what the first frame names, then serve until the socket closes."""
    payload = _receive(connection)
    order = frames.decode_command(payload) if payload is not None else None
    if not isinstance(order, Load):
        return
    spec = order.spec
    step_lock = StepLock(Path(spec.step_lock)) if spec.step_lock else None
    reporter = _Reporter(connection)
    loop = EngineCore(lambda: load_model(spec), reporter, step_lock)
    loop.start()
    while (payload := _receive(connection)) is not None:
        order = frames.decode_command(payload)
        if isinstance(order, Submit):
            loop.add(order.number, order.request)
        elif isinstance(order, Abort):
            loop.abort(order.number)
        elif isinstance(order, frames.Tokenize):
            loop.tokenize(order.number, order.text, parse_special=order.parse_special)
        elif isinstance(order, frames.Ping):
            reporter.pong(loop.beats)
            loop.ping()


def main() -> None:
    """The process. It ends without ceremony when its socket closes, whatever it is doing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server drains on Ctrl-C; it needs its models for that
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    connection = socket.socket(fileno=int(sys.argv[1]))
    try:
        serve(connection)
    except Exception:
        _log.exception("the worker failed")
        _leave(1)
    _leave(0)


def _receive(connection: socket.socket) -> bytes | None:
    """The next frame's payload; None when the server has closed its end."""
    with contextlib.suppress(ConnectionError):
        head = connection.recv(_LENGTH.size, socket.MSG_WAITALL)
        if len(head) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack(head)
        payload = bytearray()
        while len(payload) < size:
            part = connection.recv(min(size - len(payload), 1 << 20))
            if not part:
                return None
            payload += part
        return bytes(payload)
    return None


def _die_with_parent() -> None:
    """Also while loading holds everything up; and be what the kernel kills first when memory ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")


def _leave(status: int) -> None:
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
