"""HTTP/1.1 connections to one upstream, kept between requests. A library that parses in Python, or that calls
Python for each chunk, costs more than all else that is done with a relayed event; this uses llhttp."""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Iterable
from itertools import chain
from time import monotonic
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

Header = tuple[bytes, bytes]

_MAX_HEAD_BYTES: Final = 100 << 10
_MAX_AHEAD_BYTES: Final = 1 << 20
_READ_BYTES: Final = 64 << 10
_NOT_IN_HEAD: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class ProtocolError(Exception):
    """A message that is not valid in HTTP/1.1, or more than was asked for."""


class _Unread:
    """What has arrived of a response's body and was not read yet. If it is too much, no more is received."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._parts: deque[bytes] = deque()
        self.num_bytes = 0
        self._is_paused = False

    def add(self, part: bytes) -> None:
        self._parts.append(part)
        self.num_bytes += len(part)

    def take(self) -> bytes:
        """What there is, up to about 64 KiB; empty if there is nothing."""
        parts = self._parts
        if self.num_bytes <= _READ_BYTES:  # as nearly always
            data = parts.popleft() if len(parts) == 1 else b"".join(parts)
            parts.clear()
        else:
            data = parts.popleft()
            while len(data) < _READ_BYTES:
                data += parts.popleft()
        self.num_bytes -= len(data)
        self._resume()
        return data

    def drop(self) -> None:
        self._parts.clear()
        self.num_bytes = 0
        self._resume()

    def limit(self) -> None:
        """Receive no more if there is too much."""
        transport = self.transport
        if self.num_bytes >= _MAX_AHEAD_BYTES and transport is not None and not transport.is_closing():
            self._is_paused = True
            transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and self.num_bytes < _MAX_AHEAD_BYTES:
            self._is_paused = False
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()


class _Connection(asyncio.Protocol):
    """A transport with its parser: one response after another. What arrived before it broke is read first."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self.unread: Final = _Unread()
        self._num_head_bytes = 0
        self._ends_with_connection = False
        self._failure: Exception | None = None
        self._is_asked = False
        self.is_complete = False
        self.is_closed = False
        self.is_reusable = False
        self.expires_at = 0.0
        self.status = 0  # of the final response, once its head has arrived
        self.headers: list[Header] = []

    async def ask(self, request: bytes) -> None:
        """Send a request, and wait for the response's head. The one before it must be complete."""
        assert self._transport is not None
        self._is_asked = True
        self.is_complete = self.is_reusable = False
        self.status = self._num_head_bytes = 0
        self.headers = []
        self._transport.write(request)
        while not self.status:
            await self._wait()

    async def read(self) -> bytes:
        """What has arrived of the body, or the next that does, up to about 64 KiB; empty at its end."""
        while not self.unread.num_bytes:
            if self.is_complete:
                return b""
            await self._wait()
        return self.unread.take()

    def abort(self) -> None:
        self.is_closed, self.is_reusable = True, False
        if self._transport is not None:
            self._transport.abort()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Uvloop's is not one by inheritance.
        self._transport = self.unread.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._is_asked:
            self.abort()
            return
        if not self.status:
            self._num_head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._fail(ProtocolError(str(exc)))
        if not self.status and self._num_head_bytes > _MAX_HEAD_BYTES:
            self._fail(ProtocolError("the head does not end"))
        self.unread.limit()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        was_aborted, self.is_closed, self.is_reusable = self.is_closed, True, False
        if exc is None and self.status and self._ends_with_connection and not was_aborted:
            self.is_complete = True
        elif not self.is_complete:
            self._failure = self._failure or ConnectionError(str(exc or "the connection was closed"))
        self._wake()

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
        self.unread.add(data)

    def on_message_complete(self) -> None:
        if self.status:
            self.is_complete, self._is_asked = True, False
            self.is_reusable = self._parser.should_keep_alive()

    def on_message_begin(self) -> None:
        if self.is_complete:  # raised, so that nothing of it is parsed
            raise ProtocolError("a response that nobody asked for")

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        """Wait until more arrives. Raises the connection's failure."""
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


class Response:
    """A response whose head has arrived."""

    def __init__(self, connection: _Connection, pool: "ConnectionPool") -> None:
        self.status: Final = connection.status
        self.headers: Final = connection.headers
        self._connection: _Connection | None = connection
        self._pool = pool

    async def read(self) -> bytes:
        """The next part of the body; empty at its end, and after `release`. Raises `ProtocolError` or
        `OSError`."""
        return b"" if self._connection is None else await self._connection.read()

    def skip_to_end(self) -> bool:
        """Whether all of the body has arrived; what was not read of it is dropped then."""
        if self._connection is None or not self._connection.is_complete:
            return False
        self._connection.unread.drop()
        return True

    def release(self) -> None:
        """It is not read any further: the connection is kept if all of it was read, or else closed, which
        ends a `read` that waits. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)


class ConnectionPool:
    """Connections to the server of `url`; `context` is for TLS. Up to `max_idle` are kept for `keep_alive_s`
    after each response."""

    def __init__(
        self,
        url: str,
        context: ssl.SSLContext | None,
        *,
        max_idle: int,
        keep_alive_s: float,
        connect_s: float,
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._root = parts.path.rstrip("/").encode("ascii")
        self._own_headers = [(b"Host", parts.netloc.encode("ascii"))]
        self._context = context
        self._max_idle = max_idle
        self._keep_alive_s = keep_alive_s
        self._connect_s = connect_s
        self._open: set[_Connection] = set()
        self._idle: deque[_Connection] = deque()  # the least recently used first

    @property
    def num_open(self) -> int:
        return len(self._open)

    @property
    def num_idle(self) -> int:
        return len(self._idle)

    async def ask(self, method: bytes, path: str, headers: Iterable[Header], body: bytes = b"") -> Response:
        """Send a request for `path` below the url, and wait for the response's head. Raises `ProtocolError`
        or `OSError`, but no `TimeoutError`."""
        target = b"%b/%b" % (self._root, path.encode("ascii"))
        fields = (*self._own_headers, *headers)
        if b" " in target or _NOT_IN_HEAD.search(b"".join((target, *chain.from_iterable(fields)))):
            raise ProtocolError("the request's head has characters that it can't have")
        lines = [b"%b %b HTTP/1.1\r\n" % (method, target), *[b"%b: %b\r\n" % field for field in fields]]
        connection = self._kept() or await self._connect()
        try:
            await connection.ask(b"".join((*lines, b"\r\n", body)))
        except BaseException:
            self.release(connection)
            raise
        return Response(connection, self)

    def release(self, connection: _Connection) -> None:
        """Keep the connection if another request can follow, or else close it. What was not read of a
        response would be the beginning of the next one."""
        if connection.is_reusable and not connection.unread.num_bytes and self._max_idle:
            connection.expires_at = monotonic() + self._keep_alive_s
            self._idle.append(connection)
            if len(self._idle) > self._max_idle:
                self._close(self._idle.popleft())
        else:
            self._close(connection)

    def close(self) -> None:
        """Close all connections, also those in use; keep none from now on. Idempotent."""
        self._max_idle = 0
        self._idle.clear()
        for connection in list(self._open):
            self._close(connection)

    def _kept(self) -> _Connection | None:
        """The connection that was used last. Those that can't be used any more are closed."""
        idle, now = self._idle, monotonic()
        while idle and (idle[0].is_closed or idle[0].expires_at < now):
            self._close(idle.popleft())
        while idle:
            connection = idle.pop()
            if not connection.is_closed:
                return connection
            self._close(connection)
        return None

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection, self._host, self._port, ssl=self._context
                )
        except TimeoutError as exc:
            raise ConnectionError("it took too long to connect") from exc
        self._open.add(connection)
        return connection

    def _close(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.abort()
