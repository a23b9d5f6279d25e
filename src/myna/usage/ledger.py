"""The ledger: a journal slot for each request, and a thread that writes rows to the database in batches.

Requests never wait for the database: while it is unavailable, rows stay in the journal.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from myna.core.errors import ConfigurationError, DatabaseError, Overloaded
from myna.core.ledger import BATCH_TIER, LedgerStore, OpenUsageStore, UsageRow
from myna.core.supervision import SupervisedThread
from myna.core.translatable import N_
from myna.stores.journal import Journal, JournalFull, JournalSlot, dead_journals
from myna.usage.log import Prices, UsageEntry
from myna.usage.write_ahead import OpenEntry, WriteAhead

_log: Final = logging.getLogger(__name__)
_BATCH_S: Final = 1.0
_MAX_BATCH: Final = 1000
_MAX_PAUSE_S: Final = 30.0
_RECOVER_EVERY_S: Final = 30.0
_ROLL_UP_S: Final = 3600.0
_DAY_S: Final = 86_400
_LAST_WRITE_S: Final = 10.0


class _Ended(NamedTuple):
    slot: JournalSlot
    row: UsageRow


@dataclass(frozen=True, slots=True)
class LedgerState:
    """`num_waiting` rows are not in the database yet; `is_writing` is False while writing to it fails."""

    num_waiting: int
    is_writing: bool


class Ledger:
    """Call `start`, then `open` and `close` for requests from one thread, then `stop`. `database` identifies
    the store in the journal; with `open_usage`, running requests are also in the database. Requests of
    batches cost `batch_price` times the price. Rows older than `keep_days` are rolled up; 0 keeps them all.

    Raises `ConfigurationError` if the journal can't be created.
    """

    def __init__(
        self,
        store: LedgerStore,
        journal_folder: Path,
        database: str,
        *,
        prices: Prices | None = None,
        batch_price: float = 1.0,
        keep_days: int = 0,
        open_usage: OpenUsageStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self._folder = journal_folder
        self._database = database
        self._prices = prices or {}
        self._batch_price = batch_price
        self._keep_days = keep_days
        self._clock = clock
        try:
            self._journal = Journal(journal_folder, database)
        except OSError as exc:
            raise ConfigurationError(
                N_(
                    "Can't create the usage journal in {folder}: {reason}. Free space there, or serve "
                    "with MYNA_USAGE=false.",
                    folder=journal_folder,
                    reason=exc.strerror,
                )
            ) from exc
        self._ahead = None if open_usage is None else WriteAhead(open_usage, self._priced)
        self._ended: deque[_Ended] = deque()
        self._free: deque[JournalSlot] = deque()  # written; released in the thread that takes them
        self._condition = threading.Condition()
        self._is_stopped = False
        self._is_full = False
        self._is_writing = True
        self._recover_periodically = _Periodic(_RECOVER_EVERY_S, self._recover_dead)
        self._roll_up_periodically = _Periodic(_ROLL_UP_S, self._roll_up)
        self._thread = SupervisedThread("myna-ledger", self._run)

    @property
    def state(self) -> LedgerState:
        return LedgerState(len(self._ended), self._is_writing)

    def start(self) -> None:
        self._thread.start()
        if self._ahead is not None:
            self._ahead.start()

    def open(self, row: UsageRow) -> UsageEntry:
        """See `usage.UsageLog`."""
        slot = self._take(row)
        return slot if self._ahead is None else self._ahead.open(slot, row)

    def _take(self, row: UsageRow) -> JournalSlot:
        if self._free:
            self._journal.release([self._free.popleft() for _ in range(len(self._free))])
        try:
            slot = self._journal.take(row)
        except JournalFull as exc:
            if not self._is_full:
                self._is_full = True
                _log.error("requests are rejected because the usage journal can't grow: %s", exc)
            raise Overloaded(N_("The usage of this request can't be recorded now.")) from exc
        self._is_full = False
        return slot

    def close(self, entry: UsageEntry | None, row: UsageRow) -> None:
        """See `usage.UsageLog`. A rejected request is not recorded if the journal is full."""
        row = self._priced(row)
        if isinstance(entry, OpenEntry):
            assert self._ahead is not None
            self._ahead.closed(entry)
            slot = entry.slot
        elif isinstance(entry, JournalSlot):
            slot = entry
        else:
            try:
                slot = self._take(row)
            except Overloaded:
                return
        slot.close(row)
        self._ended.append(_Ended(slot, row))
        if len(self._ended) in (1, _MAX_BATCH):
            with self._condition:
                self._condition.notify()

    def stop(self) -> None:
        """Write pending rows, for a few seconds at most; the journal keeps the rest for the next start."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify()
        has_stopped = self._thread.stop(_LAST_WRITE_S)
        if self._ahead is not None:  # afterwards: it closes connections that both share
            self._ahead.stop()
        if has_stopped:
            self._journal.release(list(self._free))
            self._journal.close()
            self.store.close()

    def _priced(self, row: UsageRow) -> UsageRow:
        """A line of a batch whose answer is not in the output costs nothing: it is answered again, or its
        batch has ended."""
        if row.service_tier == BATCH_TIER and row.outcome != "completed":
            row = msgspec.structs.replace(
                row, prompt_tokens=0, cached_tokens=0, completion_tokens=0, reasoning_tokens=0
            )
        price = self._prices.get(row.model)
        if price is None:
            return row
        factor = self._batch_price if row.service_tier == BATCH_TIER else 1.0
        return msgspec.structs.replace(row, cost_nano=round(price.cost_nano(row) * factor))

    # The thread.

    def _run(self) -> None:
        """Completed rows come first: a failure in the other work must not delay them."""
        pause_s = _BATCH_S
        while True:
            is_last = self._is_stopped
            try:
                self._write_ended()
                self._recover_periodically()
                if not is_last:
                    self._roll_up_periodically()
                self._report_recovery()
                pause_s = _BATCH_S
            except DatabaseError as exc:
                self._report_outage(exc)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)
            if is_last:
                return
            self._wait(pause_s)

    def _wait(self, pause_s: float) -> None:
        """Wait for a row to write, then for more to batch with it."""
        with self._condition:
            if not self._ended and not self._is_stopped:
                self._condition.wait(_RECOVER_EVERY_S)
            if not self._is_stopped and len(self._ended) < _MAX_BATCH:
                self._condition.wait(pause_s)

    def _write_ended(self) -> None:
        while self._ended:
            batch = [self._ended[i] for i in range(min(len(self._ended), _MAX_BATCH))]
            self.store.add([ended.row for ended in batch])
            for ended in batch:
                self._ended.popleft()
                self._free.append(ended.slot)

    def _recover_dead(self) -> None:
        with dead_journals(self._folder, self._database) as found:
            for dead in found:
                rows = [self._priced(row) for row in dead.rows]
                for start in range(0, len(rows), _MAX_BATCH):
                    self.store.add(rows[start : start + _MAX_BATCH])
                dead.discard()
                _log_recovered(dead.path, rows, dead.num_damaged)

    def _roll_up(self) -> None:
        if self._keep_days:
            num_rolled = self.store.roll_up(int(self._clock()) - self._keep_days * _DAY_S)
            if num_rolled:
                _log.info("rolled up %d usage rows older than %d days", num_rolled, self._keep_days)

    def _report_outage(self, exc: DatabaseError) -> None:
        if self._is_writing:
            self._is_writing = False
            _log.error("usage stays in the journal until the database can be written: %s", exc.message)

    def _report_recovery(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            _log.warning("usage is written again; nothing was lost")


class _Periodic:
    """Runs its work at the first call and then once per `period_s`; a failed run is retried at the next
    call."""

    def __init__(self, period_s: float, work: Callable[[], None]) -> None:
        self._period_s = period_s
        self._work = work
        self._next = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._work()
            self._next = now + self._period_s


def _log_recovered(path: Path, rows: Sequence[UsageRow], num_damaged: int) -> None:
    num_lost = sum(row.outcome == "lost" for row in rows)
    if rows:
        _log.warning(
            "recovered %d usage rows from the journal of a server that died, %d of them unfinished",
            len(rows),
            num_lost,
        )
    if num_damaged:
        aside = path.with_suffix(".damaged").name
        _log.error("the journal %s is partly corrupt; it is kept as %s", path.name, aside)
