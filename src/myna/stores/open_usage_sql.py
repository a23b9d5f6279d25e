"""The usage of running requests in PostgreSQL, with SQLAlchemy Core."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from myna.core.ledger import UsageRow
from myna.stores.background_sql import living_runners, renew_lease
from myna.stores.database import Database
from myna.stores.ledger_sql import add_rows
from myna.stores.tables import OPEN_USAGE

_MAX_TAKEN: Final = 1000
_COUNTS: Final = ("prompt_tokens", "cached_tokens", "completion_tokens")
_decoder: Final = msgspec.msgpack.Decoder(UsageRow)


class SqlOpenUsage:
    """A `core.ledger.OpenUsageStore`. Each method is one transaction. Leases are those of background
    responses' runners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(
        self, server: str, lease_s: float, opened: Sequence[UsageRow], counted: Sequence[UsageRow]
    ) -> None:
        with self._database.transaction() as connection:
            renew_lease(connection, server, lease_s)
            if opened:
                values = [
                    {"server": server, "row": msgspec.msgpack.encode(row), **_counts(row)} for row in opened
                ]
                connection.execute(insert(OPEN_USAGE).on_conflict_do_nothing(), values)
            if counted:
                raised = update(OPEN_USAGE).where(OPEN_USAGE.c.id == bindparam("of"))
                raised = raised.values({name: bindparam(f"new_{name}") for name in _COUNTS})
                connection.execute(
                    raised,
                    [
                        {"of": row.id, **{f"new_{name}": getattr(row, name) for name in _COUNTS}}
                        for row in counted
                    ],
                )

    def close_expired(self, priced: Callable[[UsageRow], UsageRow]) -> int:
        with self._database.transaction() as connection:
            living = living_runners(connection)
            expired = (
                select(OPEN_USAGE.c.id)
                .where(OPEN_USAGE.c.server.not_in(living))
                .limit(_MAX_TAKEN)
                .with_for_update(skip_locked=True)
            )
            taking = delete(OPEN_USAGE).where(OPEN_USAGE.c.id.in_(expired)).returning(*OPEN_USAGE.c)
            rows = [
                priced(
                    msgspec.structs.replace(
                        _decoder.decode(found.row),
                        outcome="lost",
                        **{name: getattr(found, name) for name in _COUNTS},
                    )
                )
                for found in connection.execute(taking)
            ]
            add_rows(connection, rows)
            return len(rows)

    def close(self) -> None:
        self._database.close()


def _counts(row: UsageRow) -> dict[str, object]:
    return {"id": row.id, **{name: getattr(row, name) for name in _COUNTS}}
