"""Records one model request: from its start to its row in the ledger, however it ends."""

import asyncio
import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import msgspec
from starlette.requests import ClientDisconnect

from myna.accounts.principal import Principal
from myna.core.errors import Overloaded
from myna.core.ledger import BATCH_TIER, Outcome, UsageRow
from myna.http.record import RequestRecord, one_line
from myna.usage.log import UsageEntry, UsageLog
from myna.usage.metering import Meter, TokenObserver
from myna.wire.errors import is_clients_fault, status_of

_MAX_USER: Final = 128
_MAX_TIER: Final = 16


class RequestEnded(NamedTuple):
    """A request that has ended. `finish_reason` is the last choice's, empty if none finished; `trace_parent`
    is the `traceparent` header."""

    row: UsageRow
    finish_reason: str
    trace_parent: str


class RequestObserver(Protocol):
    """Observes every model request; must neither block nor raise."""

    def token_observer(self, model: str) -> TokenObserver | None:
        """The observer of this model's tokens, if there is one."""
        ...

    def ended(self, request: RequestEnded) -> None: ...

    def close(self) -> None:
        """No request follows. May block."""
        ...


@dataclass(frozen=True, slots=True)
class UsageSinks:
    """Where a recorder sends usage: the log and the observers."""

    usage_log: UsageLog
    observers: tuple[RequestObserver, ...] = ()


class UsageRecorder:
    """Records one request. `endpoint` is the endpoint's name in the ledger. `service_tier` is set if another
    tier than the requested one serves it."""

    def __init__(
        self, endpoint: str, record: RequestRecord, principal: Principal, usage_sinks: UsageSinks
    ) -> None:
        self._endpoint = endpoint
        self._record = record
        self._principal = principal
        self._usage_sinks = usage_sinks
        self._entry: UsageEntry | None = None
        self._meter: Meter | None = None
        self._is_stream = False
        self._requested_tier = self._user = ""
        self.model = ""
        self.service_tier = ""

    def describe(self, body: Mapping[str, object]) -> None:
        """Note what the ledger has of the request's body, which is not kept: it may be large."""
        self._is_stream = body.get("stream") is True
        self._requested_tier = _printable(body.get("service_tier"), _MAX_TIER)
        self._user = _printable(body.get("safety_identifier") or body.get("user"), _MAX_USER)

    def detached(self, record: RequestRecord) -> "UsageRecorder":
        """A recorder of the same request, which continues with its own record."""
        other = copy.copy(self)
        other._record = record
        return other

    def open(self, estimated_prompt_tokens: int = 0) -> Meter:
        """Called before the first token. Raises `Overloaded` if the request can't be recorded."""
        entry = self._entry = self._usage_sinks.usage_log.open(self._row())
        candidates = [observer.token_observer(self.model) for observer in self._usage_sinks.observers]
        token_observer = next((one for one in candidates if one is not None), None)
        meter = self._meter = Meter(entry, token_observer, self._record.started, estimated_prompt_tokens)
        self._record.before_frame = meter.commit
        return meter

    def close(self, exc: BaseException | None, trace_parent: str) -> None:
        """Record the end of the request; `exc` is what it raised."""
        row, meter, record = self._row(), self._meter, self._record
        outcome, status, error = _outcome(record, exc)
        if meter is not None:
            if outcome != "cancelled":  # a disconnected client did not receive what was read last
                meter.commit()
            meter.close()
            row = record.usage = meter.apply_to(row)
        duration_ms = round((time.perf_counter() - record.started) * 1000)
        row = msgspec.structs.replace(
            row, outcome=outcome, status=status, error=error, duration_ms=duration_ms
        )
        self._usage_sinks.usage_log.close(self._entry, row)
        ended = RequestEnded(row, meter.finish_reason if meter else "", trace_parent)
        for observer in self._usage_sinks.observers:
            observer.ended(ended)

    def _row(self) -> UsageRow:
        record = self._record
        return UsageRow(
            id=record.id,
            project=self._principal.project,
            key_id=self._principal.key_id,
            endpoint=self._endpoint,
            arrived_ms=round(record.arrived_s * 1000),
            model=self.model,
            asked_model=_printable(record.model, len(record.model)),
            is_stream=self._is_stream,
            service_tier=self._tier(),
            user=self._user,
        )

    def _tier(self) -> str:
        """The tier in the ledger; that of batches can't be requested."""
        if self._principal.is_background:
            return BATCH_TIER
        requested = self._requested_tier
        return self.service_tier or (requested if requested != BATCH_TIER else "")


def _outcome(record: RequestRecord, exc: BaseException | None) -> tuple[Outcome, int, str]:
    if isinstance(exc, ClientDisconnect | asyncio.CancelledError):
        return "cancelled", record.status, ""
    if exc is not None:
        is_refused = is_clients_fault(exc) or isinstance(exc, Overloaded)
        status = record.status or status_of(exc)
        return "refused" if is_refused else "failed", status, type(exc).__name__
    if not record.outcome:
        return "completed", record.status, ""
    if record.outcome == "cancelled":
        return "cancelled", record.status, ""
    return "refused" if record.is_clients_fault else "failed", record.status, record.outcome


def _printable(value: object, limit: int) -> str:
    """A client's text, bounded and printable, so that any database can store it."""
    if not isinstance(value, str):
        return ""
    return one_line(value[:limit])
