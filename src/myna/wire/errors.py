"""The one table from errors to HTTP: status, type, code, headers and the bytes of the body."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from starlette.responses import Response

from myna.core import errors as core
from myna.core.errors import MynaError, RequestError

SERVER_ERROR_TEXT: Final = (
    "The server had an error processing your request. Sorry about that! You can retry your request, or "
    "contact us through our help center at help.openai.com if you keep seeing this error. "
    "(Please include the request ID {request_id} in your email.)"
)
OVERLOADED_TEXT: Final = "Our servers are currently overloaded. Please try again later."
TOO_LARGE_TEXT: Final = "This server does not have the memory for that model. Please ask for another one."

# --- what only HTTP can get wrong ---


class UnknownPath(RequestError):
    """No such endpoint under /v1."""


class UnknownUrl(RequestError):
    """A path outside /v1 that is none of ours."""


class WrongMethod(RequestError):
    """The path exists, the method doesn't. `allowed` lists those that do."""

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message, code="method_not_supported")
        self.allowed = allowed


class UnsupportedContentType(RequestError):
    """A body that isn't declared as JSON."""


class UnparsableBody(RequestError):
    """A body that isn't JSON."""


class SlowBody(RequestError):
    """The rest of a body didn't come."""


class HeadersTooLarge(RequestError):
    """The request's head is over the server's limit."""


class MalformedHttp(RequestError):
    """Bytes that are no HTTP request."""


class ForbiddenSource(RequestError):
    """A Host or Origin that this server doesn't serve: a page of another site, or a rebound name."""


# --- the table ---


@dataclass(frozen=True, slots=True)
class Layout:
    """White space and headers of a body. A gateway's answer has no processing-time or version headers."""

    indent: int
    end: str = ""
    content_type: str = "application/json"
    is_gateway: bool = False


GATEWAY: Final = Layout(4, "\n", "application/json; charset=utf-8", is_gateway=True)
BACKEND: Final = Layout(2)
BACKEND_LINE: Final = Layout(2, "\n")
LIMITED: Final = Layout(4, "\n", "application/json; charset=utf-8")
_LONGEST_RETRY_S: Final = 60.0
"""A client that would wait longer, or not as long as it is told, had better tell its user."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one kind of error is shown. `message` replaces the error's own where that is not for strangers.
    `retry` is told to the SDKs where they would guess wrong; `closes` ends the connection."""

    status: int
    type: str = "invalid_request_error"
    code: str | None = None
    layout: Layout = BACKEND
    message: str | None = None
    retry: bool | None = None
    closes: bool = False
    keys: tuple[str, ...] = ("message", "type", "param", "code")


_SERVER_ERROR: Final = Row(500, "server_error", message=SERVER_ERROR_TEXT)
_NOT_READY: Final = Row(503, "service_unavailable_error", "server_is_overloaded", retry=True)

ROWS: Final[Mapping[type[MynaError], Row]] = {
    MynaError: _SERVER_ERROR,
    RequestError: Row(400),
    core.InvalidRequest: Row(400),
    core.ConstraintTooComplex: Row(400),
    core.ContextLengthExceeded: Row(400),
    core.ModelNotFound: Row(404, code="model_not_found", layout=GATEWAY),
    core.WrongEndpoint: Row(404),
    core.AuthenticationFailed: Row(401, layout=GATEWAY),
    core.PermissionDenied: Row(403),
    core.BodyTooLarge: Row(413, closes=True),
    core.NotFound: Row(404),
    core.ModelInUse: Row(409, retry=False),
    # Its own body and status are sent; the row is for a stream that has begun.
    core.UpstreamRefused: Row(400),
    core.RateLimited: Row(429, "requests", "rate_limit_exceeded", layout=LIMITED),
    core.RequestsLimited: Row(429, "requests", "rate_limit_exceeded", layout=LIMITED),
    core.TokensLimited: Row(429, "tokens", "rate_limit_exceeded", layout=LIMITED),
    core.QuotaExceeded: Row(429, "insufficient_quota", "insufficient_quota", layout=LIMITED),
    core.Overloaded: replace(_NOT_READY, message=OVERLOADED_TEXT),
    core.EngineDead: replace(_NOT_READY, code=None, type="server_error", message=SERVER_ERROR_TEXT),
    # The same request fails the same way: answers are reproducible.
    core.GenerationFailed: replace(_SERVER_ERROR, retry=False),
    core.UpstreamFailed: Row(502, "server_error", "upstream_failed", retry=True),
    core.UpstreamTimeout: Row(504, "server_error", "upstream_timeout", retry=True),
    core.ModelLoadFailed: Row(503, "server_error", retry=False),
    core.ModelTooLarge: Row(503, "server_error", "insufficient_memory", message=TOO_LARGE_TEXT, retry=False),
    # An operator's trouble met while serving; its text names files of this machine.
    core.OperatorError: replace(_SERVER_ERROR, retry=False),
    core.ConfigurationError: replace(_SERVER_ERROR, retry=False),
    core.ModelFileError: replace(_SERVER_ERROR, retry=False),
    core.DatabaseError: replace(_SERVER_ERROR, retry=False),
    core.DatabaseUnavailable: replace(_NOT_READY, code=None, type="server_error", message=SERVER_ERROR_TEXT),
    core.DownloadFailed: replace(_SERVER_ERROR, retry=False),
    UnknownPath: Row(404, layout=GATEWAY),
    UnknownUrl: Row(404, code="unknown_url", layout=GATEWAY, keys=("type", "code", "message", "param")),
    WrongMethod: Row(405, code="method_not_supported", layout=GATEWAY),
    UnsupportedContentType: Row(400, code="unsupported_content_type", layout=GATEWAY),
    UnparsableBody: Row(400, layout=GATEWAY),
    SlowBody: Row(408, retry=False, closes=True),
    HeadersTooLarge: Row(431, layout=GATEWAY, closes=True),
    MalformedHttp: Row(400, layout=GATEWAY, closes=True),
    ForbiddenSource: Row(403, "request_forbidden", layout=GATEWAY),
}


def row_of(exc: BaseException) -> Row:
    """The row of the error's class, or of its nearest ancestor's; a stranger is a server error."""
    return next((ROWS[kind] for kind in type(exc).__mro__ if kind in ROWS), _SERVER_ERROR)


def status_of(exc: BaseException) -> int:
    """The HTTP status of an answer that this error ends before its first byte."""
    return exc.status if isinstance(exc, core.UpstreamRefused) else row_of(exc).status


def is_clients_fault(exc: BaseException) -> bool:
    return row_of(exc).status < 500


def error_body(exc: BaseException, request_id: str) -> dict[str, object]:
    """The envelope: four keys, always, in the order of the layer that speaks."""
    row = row_of(exc)
    message = row.message.format(request_id=request_id) if row.message else str(exc)
    # Other exceptions may have attributes of these names, which mean something else.
    code, param = (exc.code, exc.param) if isinstance(exc, RequestError) else (None, None)
    values = {"message": message, "type": row.type, "param": param, "code": code or row.code}
    return {"error": {key: values[key] for key in row.keys}}


def error_response(exc: BaseException, request_id: str, layout: Layout | None = None) -> Response:
    """The answer to a failed request; `layout` replaces the row's where an endpoint has its own."""
    if isinstance(exc, core.UpstreamRefused):
        return Response(
            exc.body,
            exc.status,
            headers=_headers(exc, ROWS[core.UpstreamRefused], BACKEND),
            media_type=exc.content_type,
        )
    row = row_of(exc)
    layout = layout or row.layout
    body = json.dumps(error_body(exc, request_id), indent=layout.indent, ensure_ascii=False) + layout.end
    # A lone surrogate from a client's text can't be written as UTF-8; it is shown as it was escaped.
    data = body.encode("utf-8", "backslashreplace")
    response = Response(data, row.status, headers=_headers(exc, row, layout))
    response.raw_headers.append((b"content-type", layout.content_type.encode("ascii")))
    return response


def error_event(exc: BaseException, request_id: str) -> bytes:
    """The same inside a stream that has begun; both SDKs raise APIError with its message."""
    body = json.dumps(error_body(exc, request_id), separators=(",", ":"), ensure_ascii=False)
    return b"data: " + body.encode("utf-8", "backslashreplace") + b"\n\n"


def _headers(exc: BaseException, row: Row, layout: Layout) -> dict[str, str]:
    headers: dict[str, str] = {}
    if layout.is_gateway:
        headers["vary"] = "Origin"
    if row.retry is not None:
        headers["x-should-retry"] = "true" if row.retry else "false"
    wait_s = _wait_s(exc)
    if wait_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(wait_s)))
        headers["retry-after-ms"] = str(max(1, math.ceil(wait_s * 1000)))
    if isinstance(exc, core.RateLimited):
        is_soon = wait_s is not None and wait_s <= _LONGEST_RETRY_S
        headers["x-should-retry"] = "true" if is_soon else "false"
    if isinstance(exc, WrongMethod):
        headers["allow"] = ", ".join(exc.allowed)
    if row.closes:
        headers["connection"] = "close"
    return headers


def _wait_s(exc: BaseException) -> float | None:
    """When to come back, where that is known."""
    if isinstance(exc, core.Overloaded | core.RateLimited | core.UpstreamRefused):
        return exc.retry_after_s
    return 1.0 if isinstance(exc, core.EngineDead) else None
