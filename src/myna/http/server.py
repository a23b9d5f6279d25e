"""The HTTP server: uvicorn with bounds on a request's head, our error bodies, and draining at shutdown."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from myna.core.errors import Overloaded
from myna.http.connection_limit import ConnectionLimit
from myna.http.flush_watch import FlushWatch
from myna.http.middleware import Gate
from myna.http.record import RequestRecord
from myna.http.tls import Certificate
from myna.wire.errors import HeadersTooLarge, MalformedHttp, error_response

_MAX_HEAD_BYTES: Final = 64 * 1024
_HEAD_TIMEOUT_S: Final = 30.0
_DRAIN_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

DEFAULT_CONNECTIONS: Final = 768  # three quarters of the usual limit of file descriptors

log = logging.getLogger("myna.serving")


class BoundedProtocol(HttpToolsProtocol):
    """Bounds a request's head in bytes and time, which llhttp does not, with OpenAI's error bodies; also the
    number of connections, and how long a client may leave the end of a response unread."""

    def __init__(self, *, limit: ConnectionLimit, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limit = limit
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._flush = FlushWatch(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        if not self._limit.open(self):
            self._reject(Overloaded("The server has too many connections."))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        self._flush.stop()
        self._limit.close(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close the connection, which has no request, at once."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        # Checked after parsing, so that a body in the same packet doesn't count.
        if self._head_timer is not None and self._head_bytes > _MAX_HEAD_BYTES:
            self._reject_head()

    def on_message_begin(self) -> None:
        if self._head_timer is None:
            self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end_head()
        num_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if num_bytes > _MAX_HEAD_BYTES:
            self._reject_head()
            raise HeadersTooLarge("stops the parser")
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline:
            self._limit.idle(self)
        self._flush.start(self.transport)

    def _unsupported_upgrade_warning(self) -> None:
        """Don't log an unsupported upgrade: the request is answered as if it hadn't requested one."""

    def send_400_response(self, msg: str) -> None:
        self._reject(MalformedHttp(msg))

    def _reject_head(self) -> None:
        self._reject(HeadersTooLarge("The request's headers are larger than this server accepts."))

    def _await_head(self) -> None:
        self._limit.idle(self)
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self._on_slow_head)

    def _end_head(self) -> None:
        self._limit.busy(self)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_slow_head(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _reject(self, exc: Exception) -> None:
        self._end_head()
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()  # an error body would become part of the response
            return
        response = error_response(exc, record_id := RequestRecord().id)
        headers = [*response.raw_headers, (b"x-request-id", record_id.encode("ascii"))]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        if not self.transport.is_closing():
            self.transport.write(
                STATUS_LINE[response.status_code] + b"".join(lines) + b"\r\n" + bytes(response.body)
            )
            self.transport.close()


class Server(uvicorn.Server):
    """Uvicorn that drains before it stops: the first signal rejects new requests and waits for the running
    ones, the second aborts them. `serve` returns in both cases, so that the process exits with 0."""

    def __init__(self, config: uvicorn.Config, gate: Gate, *, drain_s: float, on_start: Callable[[], None]):
        super().__init__(config)
        self._gate = gate
        self.drain_s = drain_s
        self._on_start = on_start
        self._draining: asyncio.Task[None] | None = None
        self._exit_event = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        caught = []
        try:
            for number in _DRAIN_SIGNALS:
                loop.add_signal_handler(number, self.stop)
                caught.append(number)
        except (
            RuntimeError,
            ValueError,
            NotImplementedError,
        ):  # not the main thread, which receives the signals
            pass
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Start draining; a second call aborts running requests."""
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())
        else:
            self._gate.abort_running()

    async def main_loop(self) -> None:
        """Uvicorn polls ten times per second whether it should exit; this waits for an event, and renews the
        date header once per second."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exit_event.wait(), 1.0)

    async def _drain(self) -> None:
        try:
            await self._gate.drain(self.drain_s)
        except Exception:
            log.exception("draining failed: the server exits now")
        self.should_exit = True
        self._exit_event.set()


def server_config(
    app: ASGIApp,
    certificate: Certificate | None = None,
    *,
    timeout_keep_alive_s: int = 75,
    most_connections: int = DEFAULT_CONNECTIONS,
) -> uvicorn.Config:
    """Uvicorn's configuration: fast loop and parser, without its own log and headers."""
    protocol: Any = partial(BoundedProtocol, limit=ConnectionLimit(most_connections))
    config = uvicorn.Config(
        app,
        loop="auto",
        http=protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=timeout_keep_alive_s,
        timeout_graceful_shutdown=5,
        backlog=2048,
    )
    if certificate is not None:
        config.load()
        config.ssl = certificate.context
    return config


def bind(host: str, port: int) -> socket.socket:
    """The listening socket, bound before anything is loaded, so that a port in use is reported at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener
