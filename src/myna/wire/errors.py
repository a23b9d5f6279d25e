"""The table that maps errors to HTTP: status, type, code, headers and the bytes of the body."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from starlette.responses import Response

from myna.core import errors as core
from myna.core.errors import MynaError, RequestError

SERVER_ERROR_TEXT: Final = (
    "The server had an error processing your request. Sorry about that! You can retry your request. If you "
    "keep seeing this error, look for the request ID {request_id} in the log of this server."
)
OVERLOADED_TEXT: Final = "Our servers are currently overloaded. Please try again later."
TOO_LARGE_TEXT: Final = "This server does not have enough memory for that model. Please request another one."
SIGN_IN_TEXT: Final = (
    "This sign-in link has expired or was used before. `myna key link` prints a new one; or sign in with the "
    "key that `myna key` prints."
)

# --- errors of HTTP itself ---


class UnknownPath(RequestError):
    """No such endpoint under /v1."""


class UnknownUrl(RequestError):
    """A path outside /v1 that this server doesn't have."""


class WrongMethod(RequestError):
    """The path exists, the method doesn't. `allowed` lists those that do."""

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message, code="method_not_supported")
        self.allowed = allowed


class UnsupportedContentType(RequestError):
    """A body that isn't declared as JSON."""


class UnsupportedContentEncoding(RequestError):
    """A compressed body."""


class UnparsableBody(RequestError):
    """A body that isn't JSON."""


class SlowBody(RequestError):
    """The rest of a body didn't arrive in time."""


class HeadersTooLarge(RequestError):
    """The request's head exceeds the server's limit."""


class MalformedHttp(RequestError):
    """Bytes that are not an HTTP request."""


class ForbiddenSource(RequestError):
    """A Host or Origin that this server doesn't accept: another site's page, or DNS rebinding."""


class InvalidSignInCode(RequestError):
    """A sign-in link that was used before, or has expired."""


# --- the table ---


@dataclass(frozen=True, slots=True)
class Layout:
    """Whitespace and headers of an error body. A gateway's response has no processing-time or version
    headers."""

    indent: int
    end: str = ""
    content_type: str = "application/json"
    is_gateway: bool = False


GATEWAY: Final = Layout(4, "\n", "application/json; charset=utf-8", is_gateway=True)
BACKEND: Final = Layout(2)
BACKEND_LINE: Final = Layout(2, "\n")
LIMITED: Final = Layout(4, "\n", "application/json; charset=utf-8")
_MAX_RETRY_S: Final = 60.0
"""For a longer wait, a client should report the error to its user instead of retrying."""


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """How one class of errors is reported. `message` replaces the error's own where clients must not see
    that. `retry` is sent to the SDKs as a hint whether to retry where their default is wrong; `closes` ends
    the connection; `has_detail`: the body has the message a second time, as that of the Files API has."""

    status: int
    type: str = "invalid_request_error"
    code: str | None = None
    layout: Layout = BACKEND
    message: str | None = None
    retry: bool | None = None
    closes: bool = False
    has_detail: bool = False
    keys: tuple[str, ...] = ("message", "type", "param", "code")


_SERVER_ERROR: Final = ErrorRow(500, "server_error", message=SERVER_ERROR_TEXT)
_NOT_READY: Final = ErrorRow(503, "service_unavailable_error", "server_is_overloaded", retry=True)

ERROR_ROWS: Final[Mapping[type[MynaError], ErrorRow]] = {
    MynaError: _SERVER_ERROR,
    RequestError: ErrorRow(400),
    core.InvalidRequest: ErrorRow(400),
    core.ConstraintTooComplex: ErrorRow(400),
    core.ContextLengthExceeded: ErrorRow(400),
    core.ModelNotFound: ErrorRow(404, code="model_not_found", layout=GATEWAY),
    core.WrongEndpoint: ErrorRow(404),
    core.AuthenticationFailed: ErrorRow(401, layout=GATEWAY),
    core.MissingScope: ErrorRow(401, layout=GATEWAY),
    core.PermissionDenied: ErrorRow(403),
    core.BodyTooLarge: ErrorRow(413, closes=True),
    core.NotFound: ErrorRow(404),
    core.ModelInUse: ErrorRow(409, retry=False),
    core.FileNotFound: ErrorRow(404, has_detail=True),
    core.InvalidFile: ErrorRow(400, has_detail=True),
    core.FileTooLarge: ErrorRow(413, has_detail=True),
    core.BatchEnded: ErrorRow(409, retry=False),
    core.StorageFailed: ErrorRow(507, "server_error", "insufficient_storage", has_detail=True, retry=False),
    # Its own body and status are sent; the row is for a stream that has started.
    core.UpstreamRefused: ErrorRow(400),
    core.RateLimited: ErrorRow(429, "requests", "rate_limit_exceeded", layout=LIMITED),
    core.RequestsLimited: ErrorRow(429, "requests", "rate_limit_exceeded", layout=LIMITED),
    core.TokensLimited: ErrorRow(429, "tokens", "rate_limit_exceeded", layout=LIMITED),
    core.QuotaExceeded: ErrorRow(429, "insufficient_quota", "insufficient_quota", layout=LIMITED),
    core.Overloaded: replace(_NOT_READY, message=OVERLOADED_TEXT),
    core.EngineDead: replace(_NOT_READY, code=None, type="server_error", message=SERVER_ERROR_TEXT),
    # The same request fails in the same way: outputs are reproducible.
    core.GenerationFailed: replace(_SERVER_ERROR, retry=False),
    core.NoVerdict: ErrorRow(500, "server_error", "no_verdict", retry=False),
    core.UpstreamFailed: ErrorRow(502, "server_error", "upstream_failed", retry=True),
    core.UpstreamTimeout: ErrorRow(504, "server_error", "upstream_timeout", retry=True),
    core.ModelLoadFailed: ErrorRow(503, "server_error", retry=False),
    core.ModelTooLarge: ErrorRow(
        503, "server_error", "insufficient_memory", message=TOO_LARGE_TEXT, retry=False
    ),
    # An operator's error that occurs while serving; its text names files of this machine.
    core.OperatorError: replace(_SERVER_ERROR, retry=False),
    core.ConfigurationError: replace(_SERVER_ERROR, retry=False),
    core.ModelFileError: replace(_SERVER_ERROR, retry=False),
    core.DatabaseError: replace(_SERVER_ERROR, retry=False),
    core.DatabaseUnavailable: replace(_NOT_READY, code=None, type="server_error", message=SERVER_ERROR_TEXT),
    core.DownloadFailed: replace(_SERVER_ERROR, retry=False),
    UnknownPath: ErrorRow(404, layout=GATEWAY),
    UnknownUrl: ErrorRow(404, code="unknown_url", layout=GATEWAY, keys=("type", "code", "message", "param")),
    WrongMethod: ErrorRow(405, code="method_not_supported", layout=GATEWAY),
    UnsupportedContentType: ErrorRow(400, code="unsupported_content_type", layout=GATEWAY),
    UnsupportedContentEncoding: ErrorRow(415, code="unsupported_content_encoding", layout=GATEWAY),
    UnparsableBody: ErrorRow(400, layout=GATEWAY),
    SlowBody: ErrorRow(408, retry=False, closes=True),
    HeadersTooLarge: ErrorRow(431, layout=GATEWAY, closes=True),
    MalformedHttp: ErrorRow(400, layout=GATEWAY, closes=True),
    InvalidSignInCode: ErrorRow(403, code="invalid_sign_in_code", layout=GATEWAY),
    ForbiddenSource: ErrorRow(403, "request_forbidden", layout=GATEWAY),
}


def error_row(exc: BaseException) -> ErrorRow:
    """The row of the error's class or its nearest ancestor; any other exception is a server error."""
    return next((ERROR_ROWS[kind] for kind in type(exc).__mro__ if kind in ERROR_ROWS), _SERVER_ERROR)


def status_of(exc: BaseException) -> int:
    """The HTTP status of a response that fails with this error before its first byte."""
    return exc.status if isinstance(exc, core.UpstreamRefused) else error_row(exc).status


def is_clients_fault(exc: BaseException) -> bool:
    return error_row(exc).status < 500


def error_body(exc: BaseException, request_id: str) -> dict[str, object]:
    """The error object: always four keys, in the order of the layer that responds."""
    row = error_row(exc)
    message = row.message.format(request_id=request_id) if row.message else str(exc)
    # Other exceptions may have attributes with these names and another meaning.
    code, param = (exc.code, exc.param) if isinstance(exc, RequestError) else (None, None)
    values = {"message": message, "type": row.type, "param": param, "code": code or row.code}
    body: dict[str, object] = {"error": {key: values[key] for key in row.keys}}
    return body | {"detail": {"message": message, "code": values["code"]}} if row.has_detail else body


def error_response(exc: BaseException, request_id: str, layout: Layout | None = None) -> Response:
    """The response to a failed request; `layout` overrides the row's."""
    if isinstance(exc, core.UpstreamRefused):
        return Response(
            exc.body,
            exc.status,
            headers=error_headers(exc, ERROR_ROWS[core.UpstreamRefused], BACKEND),
            media_type=exc.content_type,
        )
    row = error_row(exc)
    layout = layout or row.layout
    body = json.dumps(error_body(exc, request_id), indent=layout.indent, ensure_ascii=False) + layout.end
    # A lone surrogate in a client's text can't be encoded as UTF-8; it is sent escaped.
    data = body.encode("utf-8", "backslashreplace")
    response = Response(data, row.status, headers=error_headers(exc, row, layout))
    response.raw_headers.append((b"content-type", layout.content_type.encode("ascii")))
    return response


def error_event(exc: BaseException, request_id: str) -> bytes:
    """The error as an event of a stream that has started; both SDKs raise APIError with its message."""
    body = json.dumps(error_body(exc, request_id), separators=(",", ":"), ensure_ascii=False)
    return b"data: " + body.encode("utf-8", "backslashreplace") + b"\n\n"


def error_headers(exc: BaseException, row: ErrorRow, layout: Layout) -> dict[str, str]:
    """The headers of an error response, besides its content type."""
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
        is_soon = wait_s is not None and wait_s <= _MAX_RETRY_S
        headers["x-should-retry"] = "true" if is_soon else "false"
    if isinstance(exc, WrongMethod):
        headers["allow"] = ", ".join(exc.allowed)
    if isinstance(exc, UnsupportedContentEncoding):
        headers["accept-encoding"] = "identity"
    if row.closes:
        headers["connection"] = "close"
    return headers


def _wait_s(exc: BaseException) -> float | None:
    """When to retry, if known."""
    if isinstance(exc, core.Overloaded | core.RateLimited | core.UpstreamRefused):
        return exc.retry_after_s
    return 1.0 if isinstance(exc, core.EngineDead) else None
