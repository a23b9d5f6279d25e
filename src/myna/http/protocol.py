"""HTTP on one connection: uvicorn's protocol with bounds on a request's head and our error bodies, and what
it lacks of HTTP: requests that ask for an upgrade, HTTP/1.0, and clients that close only their side."""

import asyncio
import re
from itertools import chain
from typing import Any, Final

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from myna.core.errors import Overloaded
from myna.http.connection_limit import ConnectionLimit
from myna.http.flush_watch import FlushWatch
from myna.http.record import Header, RequestRecord
from myna.wire.errors import HeadersTooLarge, MalformedHttp, error_response

_MAX_HEAD_BYTES: Final = 64 * 1024
_HEAD_TIMEOUT_S: Final = 30.0
_PROBE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_PROBE_S: Final = 1.0
_AUTHORITY_END: Final = re.compile(rb"[/?#]")


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which also answers requests that ask for an upgrade, HTTP/1.0 clients, and clients
    that closed only their own side."""

    _probe_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._probe_timer is not None:
            self._probe_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the connection open for the response if the client only closed its own side.

        A client that is gone looks the same until something is written, and then its machine refuses it.
        Where no response has begun, a status that clients must skip is written twice: the first makes the
        other side refuse, the second finds that out.
        """
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or self.scheme == "https":
            return None
        is_waiting = not self.pipeline and not cycle.response_started
        if is_waiting and cycle.scope["http_version"] != "1.1":
            return None  # it wouldn't know that status
        cycle.keep_alive = False
        if is_waiting:
            self.transport.write(_PROBE)
            self._probe_timer = self.loop.call_later(_PROBE_S, self._probe_again, cycle)
        return True

    def on_headers_complete(self) -> None:
        if not self._asks_for_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._asks_for_upgrade():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        is_old = cycle.scope["http_version"] == "1.0"
        super()._start_asgi_task(cycle, _UnchunkedResponse(app, cycle) if is_old else app)  # type: ignore[arg-type]

    def _asks_for_upgrade(self) -> bool:
        """Whether the parser treats what follows the head as another protocol; CONNECT can't be anything
        else."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _parse(self, data: bytes) -> None:
        """Feed the parser. No upgrade is supported, and a server may ignore a request for one. But the parser
        ends such a request after its head, so the request is parsed again without that header."""
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if not self._asks_for_upgrade():
                    return
                rest = rest[upgrade.args[0] :]
                head = self._head_without_upgrade()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)

    def _head_without_upgrade(self) -> bytes:
        """The head that was just parsed, without the header `Upgrade`."""
        version = self.parser.get_http_version().encode("ascii")
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _probe_again(self, cycle: RequestResponseCycle) -> None:
        if not cycle.response_started and not self.transport.is_closing():
            self.transport.write(_PROBE)


class BoundedProtocol(HttpProtocol):
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

    def eof_received(self) -> bool | None:  # type: ignore[override]
        self._end_head()  # no other request follows
        return super().eof_received()

    def on_message_begin(self) -> None:
        if self._head_timer is None:
            self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end_head()
        num_bytes = len(self.url) + sum(map(len, chain.from_iterable(self.headers)))
        if num_bytes > _MAX_HEAD_BYTES:
            self._reject_head()
            raise HeadersTooLarge("stops the parser")
        if not _is_for_its_host(self.url, self.headers):
            self._reject(error := MalformedHttp("The request's URL and its Host header name two hosts."))
            raise error
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.pipeline:
            self._limit.idle(self)
        self._flush.start(self.transport)

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


def _is_for_its_host(url: bytes, headers: list[Header]) -> bool:
    """Whether a URL with a host, as proxies are sent, has that of the Host header, which is checked later."""
    _, is_absolute, rest = url.partition(b"://")
    if url.startswith(b"/") or not is_absolute:
        return True
    authority = _AUTHORITY_END.split(rest, maxsplit=1)[0].lower()
    return [value.strip().lower() for name, value in headers if name == b"host"] == [authority]


class _UnchunkedResponse:
    """An application whose response to an HTTP/1.0 client ends with the connection if its length isn't known:
    such a client doesn't know chunks, with which uvicorn would send it."""

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cycle, is_known = self._cycle, False

        async def send_unchunked(message: Message) -> None:
            nonlocal is_known
            if message["type"] == "http.response.start":
                is_known = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                if not is_known:
                    cycle.chunked_encoding = False
            elif not is_known:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, send_unchunked)
