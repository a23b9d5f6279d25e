"""HTTP/1.1 connections to upstreams, for httpcore's pool. httpcore's own connections parse in Python, which
takes longer than all else that is done with a relayed event; these use llhttp, as the server does."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator
from enum import Enum, auto
from typing import Final, cast

import httpcore2
import httptools

_MAX_HEAD_BYTES: Final = 100 << 10
_MAX_AHEAD_BYTES: Final = 64 << 10
_NOT_IN_HEAD: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class _Channel(asyncio.Protocol):
    """A transport with its parser: one response after another. What arrived before it broke is read first."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._changed = asyncio.Event()
        self._parts: list[bytes] = []
        self._num_ahead = 0
        self._num_head_bytes = 0
        self._ends_with_connection = False
        self._failure: Exception | None = None
        self._is_asked = False
        self._is_complete = False
        self.is_closed = False
        self.is_reusable = False
        self.status = 0  # of the final response, once its head has arrived
        self.headers: list[tuple[bytes, bytes]] = []

    def ask(self, request: bytes) -> None:
        """Send a request. Its response can be read from now on; the one before it must be complete."""
        assert self._transport is not None
        self._is_asked = True
        self._is_complete = self.is_reusable = False
        self.status = self._num_head_bytes = 0
        self.headers = []
        self._transport.write(request)

    async def head(self) -> None:
        """Wait for the response's head."""
        while not self.status:
            if self._failure is not None:
                raise self._failure
            await self._wait()

    async def read(self) -> bytes:
        """What has arrived of the body, or the next that does; empty at its end."""
        while not (self._parts or self._is_complete):
            if self._failure is not None:
                raise self._failure
            await self._wait()
        data = b"".join(self._parts)
        self._parts.clear()
        if self._num_ahead >= _MAX_AHEAD_BYTES and self._transport is not None and not self.is_closed:
            self._transport.resume_reading()
        self._num_ahead = 0
        return data

    def abort(self) -> None:
        self.is_closed, self.is_reusable = True, False
        if self._transport is not None:
            self._transport.abort()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not one by inheritance

    def data_received(self, data: bytes) -> None:
        if not self._is_asked:
            self.abort()
            return
        if not self.status:
            self._num_head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._fail(httpcore2.RemoteProtocolError(str(exc)))
        if not self.status and self._num_head_bytes > _MAX_HEAD_BYTES:
            self._fail(httpcore2.RemoteProtocolError("the head does not end"))
        if self._num_ahead >= _MAX_AHEAD_BYTES and not self.is_closed:
            assert self._transport is not None
            self._transport.pause_reading()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        was_aborted, self.is_closed, self.is_reusable = self.is_closed, True, False
        if exc is None and self.status and self._ends_with_connection and not was_aborted:
            self._is_complete = True
        elif not self._is_complete:
            self._failure = self._failure or httpcore2.ReadError(str(exc or "the connection was closed"))
        self._changed.set()

    # the parser's callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # otherwise it is after the body
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = []  # of a response before the final one
            return
        names = {name.lower() for name, _ in self.headers}
        self._ends_with_connection = names.isdisjoint((b"content-length", b"transfer-encoding"))
        self.status = status

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)
        self._num_ahead += len(data)

    def on_message_complete(self) -> None:
        if self.status:
            self._is_complete, self._is_asked = True, False
            self.is_reusable = self._parser.should_keep_alive()

    def on_message_begin(self) -> None:
        if self._is_complete:  # raised, so that nothing of it is parsed
            raise httpcore2.RemoteProtocolError("a response that nobody asked for")

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self.abort()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _State(Enum):
    NEW = auto()
    ACTIVE = auto()
    IDLE = auto()
    CLOSED = auto()


class UpstreamConnection(httpcore2.AsyncConnectionInterface):
    """One connection, which is opened by its first request. It is kept for `keep_alive_s` after each."""

    def __init__(self, origin: httpcore2.Origin, context: ssl.SSLContext | None, keep_alive_s: float) -> None:
        self._origin = origin
        self._context = context
        self._keep_alive_s = keep_alive_s
        self._expires_at = 0.0
        self._state = _State.NEW
        self._channel = _Channel()

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        if self._state not in (_State.NEW, _State.IDLE):
            raise httpcore2.ConnectionNotAvailable
        is_new, self._state = self._state is _State.NEW, _State.ACTIVE
        channel = self._channel
        try:
            data = await _encoded(request)
            if is_new:
                await self._connect(request.extensions["timeout"]["connect"])
            channel.ask(data)
            await channel.head()
        except BaseException:
            await self.aclose()
            raise
        return httpcore2.Response(channel.status, headers=channel.headers, content=_Body(self, channel))

    def release(self) -> None:
        """The response is not read any further."""
        if self._channel.is_reusable:
            self._state = _State.IDLE
            self._expires_at = time.monotonic() + self._keep_alive_s
        else:
            self._close()

    async def aclose(self) -> None:
        self._close()

    def can_handle_request(self, origin: httpcore2.Origin) -> bool:
        return origin == self._origin

    def is_connected(self) -> bool:
        return self._state in (_State.ACTIVE, _State.IDLE)

    def is_available(self) -> bool:
        return self._state is _State.IDLE

    def has_expired(self) -> bool:
        is_over = self._channel.is_closed or time.monotonic() > self._expires_at
        return self._state is _State.IDLE and is_over

    def is_idle(self) -> bool:
        return self._state is _State.IDLE

    def is_closed(self) -> bool:
        return self._state is _State.CLOSED

    def info(self) -> str:
        return f"{self._origin}, {self._state.name}"

    async def _connect(self, timeout_s: float) -> None:
        host, port = self._origin.host.decode("ascii"), self._origin.port
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: self._channel, host, port, ssl=self._context
                )
        except TimeoutError as exc:
            raise httpcore2.ConnectTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpcore2.ConnectError(str(exc)) from exc

    def _close(self) -> None:
        self._state = _State.CLOSED
        self._channel.abort()


class _Body:
    """A response's body, in pieces as large as what has arrived."""

    def __init__(self, connection: UpstreamConnection, channel: _Channel) -> None:
        self._connection = connection
        self._channel = channel
        self._is_released = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._channel.read():
            yield data

    async def aclose(self) -> None:
        if not self._is_released:
            self._is_released = True
            self._connection.release()


class UpstreamPool(httpcore2.AsyncConnectionPool):
    """httpcore's pool, with connections of this module."""

    def __init__(self, context: ssl.SSLContext | None, *, max_idle: int, keep_alive_s: float) -> None:
        super().__init__(context, max_connections=None, max_keepalive_connections=max_idle)
        self._context = context
        self._keep_alive_s = keep_alive_s

    def create_connection(self, origin: httpcore2.Origin) -> UpstreamConnection:
        return UpstreamConnection(origin, self._context, self._keep_alive_s)


async def _encoded(request: httpcore2.Request) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method, request.url.target)]
    lines += [b"%b: %b" % header for header in request.headers]
    if b" " in request.url.target or any(map(_NOT_IN_HEAD.search, lines)):
        raise httpcore2.LocalProtocolError("the request's head has characters that it can't have")
    assert isinstance(request.stream, AsyncIterable)
    body = b"".join([part async for part in request.stream])
    return b"\r\n".join([*lines, b"", body])
