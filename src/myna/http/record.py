"""The record of one HTTP request while it runs, for its response headers and its line in the access log."""

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from starlette.types import Scope

from myna.core.ledger import UsageRow
from myna.wire.errors import Layout

Header = tuple[bytes, bytes]
_SCOPE_KEY = "myna.record"
_MAX_IGNORED = 32
_MAX_IGNORED_NAME = 64


@dataclass(slots=True)
class RequestRecord:
    """Filled in as the request is processed, read at the end. Never contains a prompt, output or key."""

    id: str = field(default_factory=lambda: f"req_{secrets.token_hex(16)}")
    arrived_s: float = field(default_factory=time.time)
    started: float = field(default_factory=time.perf_counter)
    client_request_id: str = ""
    key_id: str = ""
    model: str = ""
    user: str = ""
    organization: str = ""
    ignored: str = ""
    outcome: str = ""
    is_clients_fault: bool = False
    usage: UsageRow | None = None
    status: int = 0
    first_byte_s: float = 0.0
    is_gateway: bool = False
    error_layout: Layout | None = None
    is_quiet: bool = False
    speaks_anthropic: bool = False
    headers: list[Header] = field(default_factory=list)
    late_headers: list[Callable[[], list[Header]]] = field(default_factory=list)
    before_frame: Callable[[], None] = lambda: None

    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started

    def fail(self, exc: BaseException, *, is_clients_fault: bool) -> None:
        """Record the error that ended the request; the first one counts."""
        if not self.outcome:
            self.outcome = type(exc).__name__
            self.is_clients_fault = is_clients_fault

    def hint(self, text: str) -> None:
        """Add help that OpenAI's error text has no place for, in a header of our own."""
        self.headers.append((b"x-myna-hint", header_value(text[:500])))

    def ignore(self, names: Iterable[str]) -> None:
        """Name the parameters of the request that have no effect, in a header and in the log."""
        shown = list(dict.fromkeys(name[:_MAX_IGNORED_NAME] for name in names))
        more = ["…"] if len(shown) > _MAX_IGNORED else []
        self.ignored = ",".join([*shown[:_MAX_IGNORED], *more])
        self.headers.append((b"x-myna-ignored", header_value(self.ignored.replace("…", "..."))))

    def response_headers(self) -> list[Header]:
        """The headers that the middleware adds, computed when the response starts."""
        late = [header for make in self.late_headers for header in make()]
        name = b"request-id" if self.speaks_anthropic else b"x-request-id"
        return [(name, self.id.encode("ascii")), *self.headers, *late]

    def attach(self, scope: Scope) -> None:
        scope[_SCOPE_KEY] = self


def record_of(scope: Scope) -> RequestRecord:
    """The record that the outermost middleware attached."""
    record = attached_record(scope)
    if record is None:
        raise TypeError("the request has no record: its middleware is missing")
    return record


def attached_record(scope: Scope) -> RequestRecord | None:
    """The record, if there is one already: a request from within the server brings its own."""
    record = scope.get(_SCOPE_KEY)
    return record if isinstance(record, RequestRecord) else None


def header_value(text: str) -> bytes:
    """The text as a header can carry it: on one line, in Latin-1."""
    return one_line(text).encode("latin-1", "replace")


def one_line(text: str) -> str:
    """The text with a question mark for each character that isn't printable."""
    if text.isprintable():  # nearly always, and far faster
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


def request_header(scope: Scope, name: bytes) -> str:
    """The first header of that lower-case name; empty if there is none. Starlette's `Headers` takes several
    times as long, and a request is asked for ten."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""
