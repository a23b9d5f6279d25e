"""The ledger in SQLite or PostgreSQL, with SQLAlchemy Core."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    case,
    delete,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from myna.core.ledger import Dimension, Outcome, UsageFilter, UsagePage, UsageRow, UsageSum
from myna.stores.database import Database, upsert
from myna.stores.tables import OPEN_USAGE, USAGE, USAGE_HOURS
from myna.stores.usage_sums import COUNTS, DIMENSIONS, HOUR_S, added_up, as_sum, by_hour, in_order

_MAX_ROLLED: Final = 2000  # rows per transaction, so that writers never wait long
_FIELDS: Final = UsageRow.__struct_fields__


class SqlLedger:
    """Each method is one transaction, `roll_up` several."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rows: Sequence[UsageRow]) -> None:
        if not rows:
            return
        with self._database.transaction() as connection:
            add_rows(connection, rows)
            if connection.dialect.name == "postgresql":
                ids = [row.id for row in rows]
                connection.execute(delete(OPEN_USAGE).where(OPEN_USAGE.c.id.in_(ids)))

    def sums(
        self, wanted: UsageFilter, width_s: int, group_by: Sequence[Dimension] = ()
    ) -> Sequence[UsageSum]:
        parts = [_parts_of_rows(wanted)]
        if width_s % HOUR_S == 0:
            parts.append(_parts_of_hours(wanted))
        part = union_all(*parts).subquery()
        start = part.c.hour_s - part.c.hour_s % width_s if width_s else part.c.hour_s * 0
        keys: list[ColumnElement[Any]] = [start.label("start_s"), *(part.c[name] for name in group_by)]
        totals = [func.sum(part.c[name]).label(name) for name in COUNTS]
        query = select(*keys, *totals).group_by(
            *(literal_column(str(number + 1)) for number in range(len(keys)))
        )
        with self._database.transaction() as connection:
            return in_order(_as_sum(row) for row in connection.execute(query))

    def page(
        self,
        wanted: UsageFilter,
        *,
        outcomes: Sequence[Outcome] = (),
        after: str | None = None,
        limit: int = 20,
    ) -> UsagePage | None:
        query = select(USAGE).where(*_conditions(USAGE, USAGE.c.arrived_ms, 1000, wanted))
        with self._database.transaction() as connection:
            if after is not None:
                start = connection.scalar(
                    select(USAGE.c.serial).where(
                        USAGE.c.id == after, *_among(USAGE.c.project, wanted.projects)
                    )
                )
                if start is None:
                    return None
                query = query.where(USAGE.c.serial < start)
            query = query.where(*_among(USAGE.c.outcome, outcomes))
            found = connection.execute(query.order_by(USAGE.c.serial.desc()).limit(limit + 1)).all()
        return UsagePage([_as_row(row) for row in found[:limit]], has_more=len(found) > limit)

    def roll_up(self, before_s: int) -> int:
        num_rolled = 0
        while num_moved := self._roll_some(before_s):
            num_rolled += num_moved
        return num_rolled

    def close(self) -> None:
        self._database.close()

    def _roll_some(self, before_s: int) -> int:
        """Only the transaction that deletes a row gets it, so that two servers never count it twice."""
        old = select(USAGE.c.serial).where(USAGE.c.arrived_ms < before_s * 1000).limit(_MAX_ROLLED)
        deletion = delete(USAGE).where(USAGE.c.serial.in_(old.scalar_subquery())).returning(*USAGE.c)
        with self._database.transaction() as connection:
            rows = connection.execute(deletion).all()
            if rows:
                _add_hours(connection, added_up(by_hour(as_sum(_as_row(row))) for row in rows))
        return len(rows)


def add_rows(connection: Connection, rows: Sequence[UsageRow]) -> None:
    """See `core.ledger.LedgerStore.add`."""
    if not rows:
        return
    insert = upsert(connection, USAGE)
    values = [{name: getattr(row, name) for name in _FIELDS} for row in rows]
    insert = insert.on_conflict_do_update(
        index_elements=["id"],
        set_={name: insert.excluded[name] for name in _FIELDS},
        where=((USAGE.c.outcome == "lost") & (insert.excluded.outcome != "lost"))
        | (USAGE.c.arrived_ms < insert.excluded.arrived_ms),
    )
    connection.execute(insert, values)


def _parts_of_rows(wanted: UsageFilter) -> Select[Any]:
    """Each row as a sum of one row, with the columns of the hourly table."""
    c = USAGE.c

    def one_if(condition: ColumnElement[bool]) -> ColumnElement[Any]:
        return case((condition, 1), else_=0)

    counts: dict[str, ColumnElement[Any]] = {
        "num_requests": literal(1),
        "num_completed": one_if(c.outcome == "completed"),
        "num_cancelled": one_if(c.outcome == "cancelled"),
        "num_failed": one_if(c.outcome.in_(("failed", "lost"))),
        "num_refused": one_if(c.outcome == "refused"),
        "num_first_tokens": one_if(c.first_token_ms.is_not(None)),
        "first_token_ms": func.coalesce(c.first_token_ms, 0),
        "duration_ms": case((c.outcome == "completed", c.duration_ms), else_=0),
    }
    return select(
        (c.arrived_ms // 1000).label("hour_s"),
        *(c[name] for name in DIMENSIONS),
        *((counts[name] if name in counts else c[name]).label(name) for name in COUNTS),
    ).where(*_conditions(USAGE, c.arrived_ms, 1000, wanted))


def _parts_of_hours(wanted: UsageFilter) -> Select[Any]:
    c = USAGE_HOURS.c
    return select(c.hour_s, *(c[name] for name in (*DIMENSIONS, *COUNTS))).where(
        *_conditions(USAGE_HOURS, c.hour_s, 1, wanted)
    )


def _conditions(
    table: Table, time: ColumnElement[int], per_second: int, wanted: UsageFilter
) -> list[ColumnElement[bool]]:
    return [
        time >= wanted.start_s * per_second,
        time < wanted.end_s * per_second,
        *_among(table.c.project, wanted.projects),
        *_among(table.c.key_id, wanted.key_ids),
        *_among(table.c.model, wanted.models),
        *_among(table.c.user, wanted.users),
    ]


def _among(column: Column[Any], allowed: Sequence[str]) -> list[ColumnElement[bool]]:
    return [column.in_(allowed)] if allowed else []


def _add_hours(connection: Connection, sums: Sequence[UsageSum]) -> None:
    insert = upsert(connection, USAGE_HOURS)
    insert = insert.on_conflict_do_update(
        index_elements=["hour_s", *DIMENSIONS],
        set_={name: USAGE_HOURS.c[name] + insert.excluded[name] for name in COUNTS},
    )
    values = [
        {"hour_s": part.start_s} | {name: getattr(part, name) for name in (*DIMENSIONS, *COUNTS)}
        for part in sums
    ]
    connection.execute(insert, values)


def _as_row(found: Row[Any]) -> UsageRow:
    return UsageRow(**{name: getattr(found, name) for name in _FIELDS})


def _as_sum(found: Row[Any]) -> UsageSum:
    """In PostgreSQL, sums of integers are decimals."""
    values: dict[str, Any] = {
        name: value if name in DIMENSIONS else int(value) for name, value in found._mapping.items()
    }
    return UsageSum(**values)
