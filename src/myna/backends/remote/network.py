"""asyncio's connections for httpcore, whose default (anyio) adds about half a millisecond to a request and an
event-loop round to each read."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

import httpcore2

_MAX_AHEAD_BYTES: Final = 256 << 10


class AsyncioStream(httpcore2.AsyncNetworkStream, asyncio.Protocol):
    """One connection. What arrived before it broke is read first."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._changed = asyncio.Event()
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._has_ended = False
        self._failure: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not one by inheritance

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) >= _MAX_AHEAD_BYTES:
            self._connection.pause_reading()
        self._changed.set()

    def eof_received(self) -> None:
        self._has_ended = True
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended, self._failure = True, exc
        self._changed.set()
        self._can_write.set()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if not (self._received or self._has_ended):
            self._changed.clear()
            with _raising(httpcore2.ReadTimeout, httpcore2.ReadError):
                async with asyncio.timeout(timeout):
                    await self._changed.wait()
        if not self._received:
            if self._failure is not None:
                raise httpcore2.ReadError(str(self._failure)) from self._failure
            return b""
        data = bytes(self._received[:max_bytes])
        del self._received[:max_bytes]
        if len(self._received) < _MAX_AHEAD_BYTES and not self._has_ended:
            self._connection.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        with _raising(httpcore2.WriteTimeout, httpcore2.WriteError):
            async with asyncio.timeout(timeout):
                self._connection.write(buffer)
                await self._can_write.wait()
        if self._connection.is_closing():
            raise httpcore2.WriteError(str(self._failure or "the connection is closed"))

    async def aclose(self) -> None:
        self._connection.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with _raising(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                async with asyncio.timeout(timeout):
                    self._transport = await asyncio.get_running_loop().start_tls(
                        self._connection, self, ssl_context, server_hostname=server_hostname
                    )
        except BaseException:
            await self.aclose()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """`is_readable`: an idle connection was closed, or sent what nobody asked for."""
        if info == "is_readable":
            return bool(self._received) or self._has_ended
        return self._connection.get_extra_info(info)

    @property
    def _connection(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport


class AsyncioBackend(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        with _raising(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                _, stream = await loop.create_connection(AsyncioStream, host, port)
        return stream


@contextlib.contextmanager
def _raising(on_timeout: type[Exception], on_error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise on_timeout(str(exc)) from exc
    except OSError as exc:
        raise on_error(str(exc)) from exc
