"""Anthropic's API on the wire: which requests speak it, its errors and its rate-limit headers."""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from myna.core import errors as core
from myna.wire.errors import ErrorRow, UnparsableBody, error_headers, error_row

MESSAGES_PATH: Final = "/v1/messages"
_VERSION: Final = b"anthropic-version"
_OVERLOADED: Final = 529
_RETRIED: Final = (408, 409, 429)
_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    _OVERLOADED: "overloaded_error",
}
_HOW_TO_FIND_KEYS: Final = "On the machine that runs this server, `myna key` prints an API key."


def speaks_anthropic(scope: Mapping[str, Any]) -> bool:
    """Whether a request is for Anthropic's API: by its path, or because its client says so."""
    path: str = scope["path"]
    if path == MESSAGES_PATH or path.startswith(f"{MESSAGES_PATH}/"):
        return True
    return any(name == _VERSION for name, _ in scope["headers"])


def error_body(exc: BaseException, request_id: str) -> bytes:
    """The error object, as JSON."""
    return _body(exc, _status(exc, error_row(exc)), request_id)


def error_response(exc: BaseException, request_id: str) -> Response:
    """The response to a failed request. An upstream's own is passed on unchanged."""
    row = error_row(exc)
    headers = error_headers(exc, row, row.layout)
    headers.pop("vary", None)
    if isinstance(exc, core.UpstreamRefused):
        return Response(exc.body, exc.status, headers=headers, media_type=exc.content_type)
    status = _status(exc, row)
    if status < 500 and status not in _RETRIED:
        headers["x-should-retry"] = "false"
    return Response(_body(exc, status, request_id), status, headers=headers, media_type="application/json")


def error_event(exc: BaseException, request_id: str) -> bytes:
    """The error as the last event of a stream that has started."""
    return b"event: error\ndata: %s\n\n" % error_body(exc, request_id)


def _body(exc: BaseException, status: int, request_id: str) -> bytes:
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = {"type": kind, "message": _message(exc)}
    body = {"type": "error", "error": error, "request_id": request_id}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    # A lone surrogate in a client's text can't be encoded as UTF-8; it is sent escaped.
    return text.encode("utf-8", "backslashreplace")


def _status(exc: BaseException, row: ErrorRow) -> int:
    if isinstance(exc, core.UpstreamRefused):
        return exc.status
    if isinstance(exc, core.MissingScope):
        return 403
    return _OVERLOADED if isinstance(exc, core.Overloaded) else row.status


def _message(exc: BaseException) -> str:
    """The text of the error, where clients recognize it in Anthropic's words."""
    match exc:
        case core.ContextLengthExceeded() if exc.overflow is not None:
            return _too_long(exc.overflow)
        case core.AuthenticationFailed() if not isinstance(exc, core.MissingScope):
            text = "invalid x-api-key" if exc.code else "x-api-key header is required"
            return f"{text}. {_HOW_TO_FIND_KEYS}"
        case UnparsableBody():
            return "The request body is not valid JSON."
        case core.Overloaded():
            return "Overloaded"
    return "Internal server error" if error_row(exc).message else str(exc)


def _too_long(overflow: core.ContextOverflow) -> str:
    """Claude Code compacts its conversation when it reads the first of these, and asks for less when it reads
    the second."""
    prompt, requested, context = overflow
    if prompt >= context:
        return f"prompt is too long: {prompt} tokens > {context} maximum"
    return (
        f"input length and `max_tokens` exceed context limit: {prompt} + {requested} > {context}, "
        "decrease input length or `max_tokens` and try again"
    )
