"""Writes to the database what the clients of running requests may have received, before they receive it.

The journal is a file of this machine. If the machine is gone, another server closes the rows in the database:
each has a mark, which is raised in steps before tokens are passed on."""

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from myna.core.errors import DatabaseError
from myna.core.ledger import OpenUsageStore, UsageRow
from myna.core.outage import Outage
from myna.core.supervision import SupervisedThread
from myna.stores.journal import JournalSlot

_log: Final = logging.getLogger(__name__)
STEP_TOKENS: Final = 64
COVER_AHEAD: Final = 32
"""How many tokens before the last covered one the next are requested, so that nothing waits for them."""
LEASE_S: Final = 60.0
"""A server that has not renewed its lease for that long is gone. Longer than another server on its machine
needs to find its journal, which is more exact."""
_BEATS: Final = 10
"""How often a lease is renewed within its time."""
_LAST_WRITE_S: Final = 5.0
_UNLIMITED: Final = 1 << 62


class OpenEntry:
    """A `usage.log.UsageEntry` of the journal that is in the database, too. `covered` is its mark there: more
    tokens must be covered before they are passed on. `is_whole`: an answer that is sent as a whole is only
    covered at its end."""

    __slots__ = (
        "_ahead",
        "covered",
        "is_closed",
        "is_whole",
        "is_written",
        "row",
        "slot",
        "waiting",
        "wanted",
    )

    def __init__(self, ahead: "WriteAhead", slot: JournalSlot, row: UsageRow) -> None:
        self._ahead = ahead
        self.slot = slot
        self.row = row
        self.is_whole = not row.is_stream
        self.covered = _UNLIMITED if self.is_whole else 0
        self.wanted = 0 if self.is_whole else STEP_TOKENS
        self.is_written = self.is_closed = False
        self.waiting: asyncio.Future[None] | None = None

    def count_prompt(self, prompt_tokens: int, cached_tokens: int) -> None:
        self.slot.count_prompt(prompt_tokens, cached_tokens)
        self.row = msgspec.structs.replace(self.row, prompt_tokens=prompt_tokens, cached_tokens=cached_tokens)

    def count_completion(self, tokens: int) -> None:
        self.slot.count_completion(tokens)

    def note_first_token(self, after_ms: int) -> None:
        self.slot.note_first_token(after_ms)

    async def cover(self, tokens: int) -> None:
        """Wait until that number of tokens is recorded where other machines find them."""
        if self.is_whole:
            self.covered, self.wanted = 0, tokens
            self._ahead.raise_mark(self)
        elif self.wanted <= self.covered:
            self.wanted = tokens + STEP_TOKENS
            self._ahead.raise_mark(self)
        while tokens > self.covered and not self._ahead.is_away:
            self.waiting = asyncio.get_running_loop().create_future()
            self._ahead.raise_mark(self)
            await self.waiting


class WriteAhead:
    """`open` and `closed` are for one event loop. `priced` adds the cost to a row. While the database is
    away, nothing waits for it: the journal remains."""

    def __init__(
        self, store: OpenUsageStore, priced: Callable[[UsageRow], UsageRow], lease_s: float = LEASE_S
    ) -> None:
        self._store = store
        self._priced = priced
        self._lease_s = lease_s
        self._server = secrets.token_hex(16)
        self._open: set[OpenEntry] = set()
        self._changed: dict[OpenEntry, None] = {}
        self._condition = threading.Condition()
        self._is_stopped = False
        self._look_at = 0.0
        self.is_away = False
        self._outage = Outage(
            _log, "usage is only in this machine's journal: %s", "usage is written ahead again"
        )
        self._thread = SupervisedThread("myna-write-ahead", self._run)

    def start(self) -> None:
        self._thread.start()

    def open(self, slot: JournalSlot, row: UsageRow) -> OpenEntry:
        entry = OpenEntry(self, slot, row)
        with self._condition:
            self._open.add(entry)
        self.raise_mark(entry)
        return entry

    def raise_mark(self, entry: OpenEntry) -> None:
        with self._condition:
            self._changed[entry] = None
            self._condition.notify()

    def closed(self, entry: OpenEntry) -> None:
        """Its row is in the journal as it ended, and will be written in place of this one."""
        entry.is_closed = True
        with self._condition:
            self._open.discard(entry)
            self._changed.pop(entry, None)

    def stop(self) -> None:
        with self._condition:
            self._is_stopped = True
            self._condition.notify()
        if self._thread.stop(_LAST_WRITE_S):
            self._store.close()

    # The thread.

    def _run(self) -> None:
        while not self._is_stopped:
            changed = self._wait()
            try:
                self._write(changed)
                self._close_expired()
            except DatabaseError as exc:
                self.is_away = True
                self._outage.failed(exc.message)
                with self._condition:
                    self._changed = dict.fromkeys((*changed, *self._changed))
                _wake(changed)
                self._pause()
            else:
                self.is_away = False
                self._outage.succeeded()

    def _wait(self) -> list[OpenEntry]:
        """What has changed, as soon as something has, or the lease must be renewed."""
        with self._condition:
            if not self._changed and not self._is_stopped:
                self._condition.wait(self._lease_s / _BEATS)
            changed = list(self._changed)
            self._changed.clear()
        return changed

    def _pause(self) -> None:
        with self._condition:
            if not self._is_stopped:
                self._condition.wait_for(lambda: self._is_stopped, self._lease_s / _BEATS)

    def _write(self, changed: list[OpenEntry]) -> None:
        if not self._open:
            return
        marks = {entry: entry.wanted for entry in changed if not entry.is_closed}
        rows = {
            entry: msgspec.structs.replace(entry.row, completion_tokens=mark) for entry, mark in marks.items()
        }
        opened = [row for entry, row in rows.items() if not entry.is_written]
        counted = [row for entry, row in rows.items() if entry.is_written]
        self._store.write(self._server, self._lease_s, opened, counted)
        for entry, mark in marks.items():
            entry.is_written = True
            if mark:
                entry.covered = mark
        _wake(changed)

    def _close_expired(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + self._lease_s / _BEATS
        num_closed = self._store.close_expired(self._priced)
        if num_closed:
            _log.warning("closed %d usage rows of a server that is gone, at their marks", num_closed)


def _wake(entries: list[OpenEntry]) -> None:
    for entry in entries:
        waiting = entry.waiting
        if waiting is not None:
            waiting.get_loop().call_soon_threadsafe(_set, waiting)


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
