"""The access log: one line per request (key, model, tokens, times, outcome), as text or JSON. Never logs
content."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

import orjson
from starlette.types import Scope

from myna.core.errors import DatabaseUnavailable, MynaError, Overloaded, UpstreamFailed
from myna.http.record import RequestRecord
from myna.wire.errors import is_clients_fault

_FIELDS: Final = "fields"

log = logging.getLogger("myna.access")
failures = logging.getLogger("myna.serving")


def log_request(scope: Scope, record: RequestRecord) -> None:
    """Log the request. Health probes and the page's files are logged at debug level."""
    is_quiet = record.is_quiet or scope["path"] in ("/health", "/ready", "/metrics")
    level = logging.DEBUG if is_quiet else logging.INFO
    if log.isEnabledFor(level):
        fields = request_fields(scope, record)
        # Not `log.log`, which looks for its caller; and the thread that writes the log makes the text.
        line = log.makeRecord(log.name, level, __file__, 0, _Line(fields), (), None, extra={_FIELDS: fields})
        log.handle(line)


class _Line:
    """The fields as text."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self._fields.items() if value not in ("", None))


def record_failure(record: RequestRecord, exc: BaseException) -> None:
    """Record the error that ended the request. Server errors are logged, bugs with a traceback, failures of
    an upstream with their cause; an outage of the database is already logged elsewhere."""
    record.fail(exc, is_clients_fault=is_clients_fault(exc))
    is_known = isinstance(exc, Overloaded | DatabaseUnavailable | asyncio.CancelledError)
    if not is_clients_fault(exc) and not is_known:
        if isinstance(exc, UpstreamFailed) and exc.__cause__ is not None:
            failures.error("%s failed: %s (%r)", record.id, exc, exc.__cause__)
            return
        is_expected = isinstance(exc, MynaError) and exc.__cause__ is None
        failures.error("%s failed: %s", record.id, exc, exc_info=None if is_expected else exc)


def request_fields(scope: Scope, record: RequestRecord) -> Mapping[str, object]:
    usage = record.usage
    return {
        "id": record.id,
        "client_id": printable(record.client_request_id),
        "client": (scope.get("client") or ("",))[0],
        "method": scope["method"],
        "path": printable(scope["path"]),
        "status": record.status,
        "key": record.key_id,
        "model": printable(record.model),
        "user": printable(record.user),
        "ignored": printable(record.ignored),
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "first_byte_ms": round(record.first_byte_s * 1000, 1),
        "total_ms": round(record.elapsed_s() * 1000, 1),
        "outcome": record.outcome or "completed",
    }


def printable(text: str, limit: int = 200) -> str:
    """A client's text made safe for one line of a log: no control characters, bounded in length."""
    shown = text if text.isprintable() and " " not in text else text.encode("unicode_escape").decode()
    return shown.replace(" ", "%20")[:limit]


class JsonLines(logging.Formatter):
    """One line of JSON per record."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, _FIELDS, None)
        line |= fields if isinstance(fields, dict) else {"message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()
