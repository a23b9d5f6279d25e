"""The HTTP server: uvicorn with Myna's protocol, and draining at shutdown."""

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

from myna.http.connection_limit import ConnectionLimit
from myna.http.middleware import RequestTracker
from myna.http.protocol import BoundedProtocol
from myna.http.tls import Certificate

KEEP_ALIVE_S: Final = 620.0
"""Longer than clients' and proxies' connection pools keep an idle connection, so that it is the client that
closes it: a request sent on a connection that the server is just closing fails."""
_DRAIN_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

DEFAULT_CONNECTIONS: Final = 768  # three quarters of the usual limit of file descriptors

log = logging.getLogger("myna.serving")


class Server(uvicorn.Server):
    """Uvicorn that drains before it stops: the first signal rejects new requests and waits for the running
    ones, the second aborts them. `serve` returns in both cases, so that the process exits with 0."""

    def __init__(
        self, config: uvicorn.Config, tracker: RequestTracker, *, drain_s: float, on_start: Callable[[], None]
    ):
        super().__init__(config)
        self._tracker = tracker
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
            self._tracker.abort_running()

    async def main_loop(self) -> None:
        """Uvicorn polls ten times per second whether it should exit; this waits for an event, and renews the
        date header once per second."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exit_event.wait(), 1.0)

    async def _drain(self) -> None:
        try:
            await self._tracker.drain(self.drain_s)
        except Exception:
            log.exception("draining failed: the server exits now")
        self.should_exit = True
        self._exit_event.set()


def server_config(
    app: ASGIApp,
    certificate: Certificate | None = None,
    *,
    keep_alive_s: float = KEEP_ALIVE_S,
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
        timeout_keep_alive=keep_alive_s,  # type: ignore[arg-type]
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
