"""From one call of a model to its row in the ledger, whatever ends the call."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import msgspec
from starlette.requests import ClientDisconnect

from myna.accounts.principal import Principal
from myna.core.errors import Overloaded
from myna.core.ledger import Outcome, UsageRow
from myna.http.record import RequestRecord
from myna.usage.log import UsageEntry, UsageLog
from myna.usage.metering import Clocks, Meter
from myna.wire.errors import is_clients_fault, status_of

_MOST_USER: Final = 128
_MOST_TIER: Final = 16


class RequestEnded(NamedTuple):
    """A call that is over. `finish_reason` is the last choice's, empty if none ended; `trace_parent` is the
    header of that name."""

    row: UsageRow
    finish_reason: str
    trace_parent: str


class RequestObserver(Protocol):
    """Sees every call of a model; must neither block nor raise."""

    def clocks(self, model: str) -> Clocks | None:
        """Who is told how fast this model's tokens come, if anyone."""
        ...

    def ended(self, call: RequestEnded) -> None: ...

    def close(self) -> None:
        """No call follows. May take a while."""
        ...


@dataclass(frozen=True, slots=True)
class UsageSinks:
    """What a bill needs of the server."""

    usage_log: UsageLog
    observers: tuple[RequestObserver, ...] = ()


class UsageRecorder:
    """One call's. `endpoint` is the ledger's name for what was called; `body` what was sent."""

    def __init__(
        self, endpoint: str, record: RequestRecord, principal: Principal, usage_sinks: UsageSinks
    ) -> None:
        self._endpoint = endpoint
        self._record = record
        self._principal = principal
        self._accountant = usage_sinks
        self._entry: UsageEntry | None = None
        self._meter: Meter | None = None
        self.body: Mapping[str, object] = {}
        self.model = ""

    def open(self) -> Meter:
        """Before the first token. Raises `Overloaded` if it can't be written down."""
        entry = self._entry = self._accountant.usage_log.open(self._row())
        clocks = [watcher.clocks(self.model) for watcher in self._accountant.observers]
        watched = next((one for one in clocks if one is not None), None)
        meter = self._meter = Meter(entry, watched, self._record.started)
        self._record.before_frame = meter.commit
        return meter

    def settle(self, exc: BaseException | None, trace_parent: str) -> None:
        """The call is over; `exc` is what it raised."""
        row, meter, record = self._row(), self._meter, self._record
        outcome, status, error = _ending(record, exc)
        if meter is not None:
            if outcome != "cancelled":  # what was read for a client that left went nowhere
                meter.commit()
            row = record.usage = meter.onto(row)
        duration_ms = round((time.perf_counter() - record.started) * 1000)
        row = msgspec.structs.replace(
            row, outcome=outcome, status=status, error=error, duration_ms=duration_ms
        )
        self._accountant.usage_log.close(self._entry, row)
        ended = RequestEnded(row, meter.finish_reason if meter else "", trace_parent)
        for watcher in self._accountant.observers:
            watcher.ended(ended)

    def _row(self) -> UsageRow:
        record, body = self._record, self.body
        return UsageRow(
            id=record.id,
            project=self._principal.project,
            key_id=self._principal.key_id,
            endpoint=self._endpoint,
            arrived_ms=round(record.arrived_s * 1000),
            model=self.model,
            asked_model=_text(record.model, len(record.model)),
            is_stream=body.get("stream") is True,
            service_tier=_text(body.get("service_tier"), _MOST_TIER),
            user=_text(body.get("safety_identifier") or body.get("user"), _MOST_USER),
        )


def _ending(record: RequestRecord, exc: BaseException | None) -> tuple[Outcome, int, str]:
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


def _text(value: object, limit: int) -> str:
    """A stranger's text as any database keeps it."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else "?" for char in value[:limit])
