"""Rate-limit counters in a PostgreSQL database that several servers share."""

import threading
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from myna.core.counters import Change
from myna.stores.database import Database
from myna.stores.tables import COUNTERS

# Built once, since every request uses them twice.
_READ: Final = (
    select(COUNTERS)
    .where(COUNTERS.c.name.in_(bindparam("names", expanding=True)))
    .order_by(COUNTERS.c.name)
    .with_for_update()
)
_ADD: Final = insert(COUNTERS).on_conflict_do_nothing()
_WRITE: Final = update(COUNTERS).where(COUNTERS.c.name == bindparam("key")).values(value=bindparam("new"))
_NOW: Final = select(func.extract("epoch", func.clock_timestamp()))


class SqlCounters:
    """One update at a time in this process; row locks serialize those of other processes. All servers use the
    database's clock."""

    is_instant = False

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()

    def update(self, names: Sequence[str], change: Change) -> None:
        ordered = sorted(set(names))  # all servers lock in the same order
        with self._lock, self._database.transaction() as connection:
            found = _locked(connection, ordered)
            if len(found) < len(
                ordered
            ):  # a row must exist to be locked; another server may add it concurrently
                connection.execute(_ADD, [{"name": name, "value": b""} for name in ordered])
                found = _locked(connection, ordered)
            now = float(connection.scalar(_NOW) or 0.0)
            written = change({name: value for name, value in found.items() if value}, now)
            if written:
                connection.execute(_WRITE, [{"key": name, "new": value} for name, value in written.items()])

    def close(self) -> None:
        self._database.close()


def _locked(connection: Connection, names: Sequence[str]) -> dict[str, bytes]:
    return {row.name: row.value for row in connection.execute(_READ, {"names": names})}
