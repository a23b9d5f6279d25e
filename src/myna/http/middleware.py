"""Middleware as pure ASGI classes in one ordered list. Knows no endpoint.

Only the outermost class wraps `send`; the others pass headers to it through the record, so that a streamed
event passes through a single layer.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from myna.core.errors import InvalidRequest, Overloaded
from myna.http.access_log import log_request, record_failure
from myna.http.record import RequestRecord, attached_record, header_value, record_of, request_header
from myna.wire import anthropic
from myna.wire.errors import error_response, error_row

_MAX_CLIENT_REQUEST_ID: Final = 512
_FINAL_ERROR_S: Final = 2.0
_OPENAI_VERSION: Final = (b"openai-version", b"2020-10-01")

log = logging.getLogger("myna.serving")

Middleware = Callable[[ASGIApp], ASGIApp]


def wrap(app: ASGIApp, layers: Sequence[Middleware]) -> ASGIApp:
    """The application wrapped in the layers; the first is outermost."""
    for middleware in reversed(layers):
        app = middleware(app)
    return app


class RequestScope:
    """Creates the request's id and record, adds headers to the response, writes the access log; `on_end` is
    called with the record at the end."""

    def __init__(self, app: ASGIApp, on_end: Callable[[RequestRecord], None]) -> None:
        self._app = app
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = attached_record(scope) or RequestRecord()
        record.speaks_anthropic = anthropic.speaks_anthropic(scope)
        record.attach(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                record.first_byte_s = record.elapsed_s()
                message["headers"] = [*message.get("headers", ()), *record.response_headers()]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            log_request(scope, record)
            self._on_end(record)


class ErrorResponses:
    """Turns any exception raised before the response has started into an error body of the client's API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = record_of(scope)
        try:
            read_client_request_id(scope, record)
            await self._app(scope, receive, send)
        except ClientDisconnect:  # before its body was complete: nobody receives a response
            record.outcome = "cancelled"
        except Exception as exc:
            record_failure(record, exc)
            if record.status:
                raise
            await _failed(exc, record)(scope, receive, send)


def _failed(exc: Exception, record: RequestRecord) -> Response:
    if record.speaks_anthropic:
        return anthropic.error_response(exc, record.id)
    layout = record.error_layout or error_row(exc).layout
    record.is_gateway = record.is_gateway or layout.is_gateway
    return error_response(exc, record.id, layout)


def read_client_request_id(scope: Scope, record: RequestRecord) -> None:
    """Store the client's own id of its request for the log; like OpenAI, accept only short ASCII."""
    value = request_header(scope, b"x-client-request-id")
    if len(value) > _MAX_CLIENT_REQUEST_ID or not value.isascii():
        raise InvalidRequest(
            f"Invalid 'X-Client-Request-Id' header: expected ASCII text of at most "
            f"{_MAX_CLIENT_REQUEST_ID} characters."
        )
    record.client_request_id = value


class BackendHeaders:
    """Adds the headers of responses from behind the gateway, under /v1: version, processing time,
    organization."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            record = record_of(scope)

            def headers() -> list[tuple[bytes, bytes]]:
                if record.is_gateway or record.speaks_anthropic:
                    return []
                processing_ms = max(1, round(record.first_byte_s * 1000))
                backend = [_OPENAI_VERSION, (b"openai-processing-ms", b"%d" % processing_ms)]
                if record.organization:
                    backend.append((b"openai-organization", header_value(record.organization)))
                return backend

            record.late_headers.append(headers)
        await self._app(scope, receive, send)


class RequestTracker:
    """Counts running requests; rejects new ones when there are too many for this process, independently of
    the models' own queues, and while the server shuts down."""

    def __init__(self, max_running: int = 1024) -> None:
        self._max_running = max_running
        self._running: set[asyncio.Task[Any]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._aborted: set[asyncio.Task[Any]] = set()
        self._abort = asyncio.Event()
        self.is_draining = False

    def middleware(self, app: ASGIApp) -> ASGIApp:
        async def tracked(scope: Scope, receive: Receive, send: Send) -> None:
            task = asyncio.current_task()
            if scope["type"] != "http" or task is None or not scope["path"].startswith("/v1/"):
                await app(scope, receive, send)
                return
            if self.is_draining:
                raise Overloaded("The server is shutting down.", retry_after_s=1.0)
            if len(self._running) >= self._max_running:
                raise Overloaded(f"The server has {len(self._running)} requests running.")
            self._running.add(task)
            self._empty.clear()
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if task not in self._aborted:
                    raise
                record = record_of(scope)
                record.outcome = "cut"
                if not record.status:
                    raise Overloaded("The server is shutting down.") from None
            finally:
                self._leave(task)

        return tracked

    def track(self, task: "asyncio.Task[None]") -> None:
        """Count a task that continues after its request: the drain waits for it, and cancels it when the time
        is up."""
        self._running.add(task)
        self._empty.clear()
        task.add_done_callback(self._leave)

    async def drain(self, within_s: float) -> None:
        """Reject new requests, wait for the running ones, and abort those that still run after `within_s`.

        An aborted request ends with an error body, or with an error event if its response has started.
        """
        self.is_draining = True
        waits = [asyncio.ensure_future(event.wait()) for event in (self._empty, self._abort)]
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self._running:
            log.warning("aborted %d requests that were still running", len(self._running))
            for task in self._running:
                self._aborted.add(task)
                task.cancel()
            with contextlib.suppress(TimeoutError):  # a client that doesn't read its final error
                await asyncio.wait_for(self._empty.wait(), _FINAL_ERROR_S)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._aborted.discard(task)
        if not self._running:
            self._empty.set()

    def abort_running(self) -> None:
        """Abort running requests now; for an operator who won't wait."""
        self._abort.set()
