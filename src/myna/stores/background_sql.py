"""Background responses and their runners in SQLite or PostgreSQL, with SQLAlchemy Core."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, delete, func, insert, literal, select, update

from myna.core.stored_responses import MAX_BATCHES, EventBatch, StoredResponse
from myna.stores.database import Database, upsert
from myna.stores.response_items import IS_ACTIVE, write_items
from myna.stores.tables import RESPONSE_EVENTS, RESPONSES, RUNNERS

_SEPARATOR: Final = b"\n\n"
_FORGOTTEN_S: Final = 86_400


class SqlBackground:
    """Each method is one transaction. Whether a runner is alive is decided by the database's clock."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def finish(self, response: StoredResponse) -> bool:
        now, columns = int(self._clock()), RESPONSES.c
        ended = update(RESPONSES).where(columns.id == response.id, ~columns.is_deleted, IS_ACTIVE)
        values = {"status": response.status, "body": response.body, "runner": None, "ended": now}
        with self._database.transaction() as connection:
            if not connection.execute(ended.values(values)).rowcount:
                return False
            write_items(connection, msgspec.structs.replace(response, input=()), now)
            return True

    def progress(self, response_id: str, body: bytes) -> bool:
        active = update(RESPONSES).where(RESPONSES.c.id == response_id, ~RESPONSES.c.is_deleted, IS_ACTIVE)
        with self._database.transaction() as connection:
            return connection.execute(active.values(status="in_progress", body=body)).rowcount > 0

    def heartbeat(self, runner: str, lease_s: float) -> frozenset[str]:
        active = select(RESPONSES.c.id).where(
            RESPONSES.c.runner == runner, ~RESPONSES.c.is_deleted, IS_ACTIVE
        )
        with self._database.transaction() as connection:
            renew_lease(connection, runner, lease_s)
            return frozenset(connection.scalars(active))

    def is_alive(self, runner: str) -> bool:
        with self._database.transaction() as connection:
            living = living_runners(connection).where(RUNNERS.c.id == runner)
            is_living = connection.scalar(living) is not None
        return is_living or self._database.was_away

    def add_events(self, response_id: str, batch: EventBatch) -> None:
        values = {
            "response_id": response_id,
            "first": batch.first,
            "events": _SEPARATOR.join(batch.events),
        }
        kept = select(RESPONSES.c.id).where(RESPONSES.c.id == response_id, ~RESPONSES.c.is_deleted)
        with self._database.transaction() as connection:
            if connection.scalar(kept.with_for_update()) is not None:
                connection.execute(insert(RESPONSE_EVENTS), values)

    def events(self, response_id: str, after: int) -> Sequence[EventBatch]:
        columns = RESPONSE_EVENTS.c
        of_it = columns.response_id == response_id
        start = select(func.max(columns.first)).where(of_it, columns.first <= after + 1).scalar_subquery()
        query = select(columns.first, columns.events).where(of_it, columns.first >= func.coalesce(start, 0))
        with self._database.transaction() as connection:
            found = connection.execute(query.order_by(columns.first).limit(MAX_BATCHES)).all()
        batches = [EventBatch(row.first, row.events.split(_SEPARATOR)) for row in found]
        return [batch for batch in batches if batch.last > after]

    def delete_events(self, ended_before: int) -> None:
        running = select(RESPONSES.c.id).where(
            RESPONSES.c.id == RESPONSE_EVENTS.c.response_id,
            RESPONSES.c.ended.is_(None) | (RESPONSES.c.ended >= ended_before),
        )
        with self._database.transaction() as connection:
            connection.execute(delete(RESPONSE_EVENTS).where(~running.exists()))
            forgotten = RUNNERS.c.alive_until < _clock(connection) - _FORGOTTEN_S
            connection.execute(delete(RUNNERS).where(forgotten))

    def close(self) -> None:
        self._database.close()


def renew_lease(connection: Connection, runner: str, lease_s: float) -> None:
    """Say that this server is alive."""
    lease = upsert(connection, RUNNERS).values(id=runner, alive_until=_clock(connection) + lease_s)
    renewed = {"alive_until": lease.excluded.alive_until}
    connection.execute(lease.on_conflict_do_update(index_elements=["id"], set_=renewed))


def living_runners(connection: Connection) -> Select[Any]:
    """The ids of servers that were alive recently."""
    return select(RUNNERS.c.id).where(RUNNERS.c.alive_until > _clock(connection))


def _clock(connection: Connection) -> Any:
    """The same for all servers on the database."""
    if connection.dialect.name == "sqlite":
        return literal(time.time())
    return func.extract("epoch", func.clock_timestamp())
