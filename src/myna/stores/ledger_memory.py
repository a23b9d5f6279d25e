"""The ledger in memory, lost when the process ends: for tests, and for servers without a database."""

import threading
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

import msgspec

from myna.core.ledger import Dimension, Outcome, UsageFilter, UsagePage, UsageRow, UsageSum
from myna.stores.usage_sums import DIMENSIONS, HOUR_S, added_up, as_sum, by_hour

MAX_ROWS: Final = 100_000


class MemoryLedger:
    """Rows in a dict, in the order in which they were written, and hourly sums of rolled-up ones. Memory is
    bounded: beyond 100,000 rows, the oldest are rolled up."""

    def __init__(self) -> None:
        self._rows: dict[str, UsageRow] = {}
        self._hours: list[UsageSum] = []
        self._lock = threading.Lock()

    def add(self, rows: Sequence[UsageRow]) -> None:
        with self._lock:
            for row in rows:
                known = self._rows.get(row.id)
                if known is None or _replaces(row, known):
                    self._rows[row.id] = row
            self._fold(list(islice(self._rows.values(), max(0, len(self._rows) - MAX_ROWS))))

    def sums(
        self, wanted: UsageFilter, width_s: int, group_by: Sequence[Dimension] = ()
    ) -> Sequence[UsageSum]:
        with self._lock:
            parts = [as_sum(row) for row in self._rows.values()]
            if width_s % HOUR_S == 0:
                parts += self._hours
        is_wanted = _matcher(wanted)

        def place(part: UsageSum) -> UsageSum:
            start_s = part.start_s // width_s * width_s if width_s else 0
            others = {name: None for name in DIMENSIONS if name not in group_by}
            return msgspec.structs.replace(part, start_s=start_s, **others)

        return added_up(place(part) for part in parts if is_wanted(part))

    def page(
        self,
        wanted: UsageFilter,
        *,
        outcomes: Sequence[Outcome] = (),
        after: str | None = None,
        limit: int = 20,
    ) -> UsagePage | None:
        with self._lock:
            rows = list(reversed(self._rows.values()))
        if after is not None:
            owned = [not wanted.projects or row.project in wanted.projects for row in rows]
            place = next((i for i, row in enumerate(rows) if row.id == after and owned[i]), None)
            if place is None:
                return None
            rows = rows[place + 1 :]
        is_wanted = _matcher(wanted)
        rows = [row for row in rows if is_wanted(as_sum(row)) and (not outcomes or row.outcome in outcomes)]
        return UsagePage(rows[:limit], has_more=len(rows) > limit)

    def roll_up(self, before_s: int) -> int:
        with self._lock:
            return self._fold([row for row in self._rows.values() if row.arrived_ms < before_s * 1000])

    def _fold(self, old: Sequence[UsageRow]) -> int:
        for row in old:
            del self._rows[row.id]
        if old:
            self._hours = added_up([*self._hours, *(by_hour(as_sum(row)) for row in old)])
        return len(old)

    def close(self) -> None:
        """Nothing to close."""


def _replaces(row: UsageRow, known: UsageRow) -> bool:
    is_the_end = known.outcome == "lost" and row.outcome != "lost"
    return is_the_end or known.arrived_ms < row.arrived_ms


def _matcher(wanted: UsageFilter) -> Callable[[UsageSum], bool]:
    def is_wanted(part: UsageSum) -> bool:
        return wanted.start_s <= part.start_s < wanted.end_s and all(
            not allowed or value in allowed
            for value, allowed in (
                (part.project, wanted.projects),
                (part.key_id, wanted.key_ids),
                (part.model, wanted.models),
                (part.user, wanted.users),
            )
        )

    return is_wanted
