"""Projects, keys, limits and audit events in SQLite or PostgreSQL, with SQLAlchemy Core."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, Table, delete, insert, select, update

from myna.core.accounts import (
    Accounts,
    ApiKey,
    AuditEvent,
    AuditPage,
    AuditQuery,
    Limit,
    Project,
)
from myna.stores.database import Database
from myna.stores.tables import ACCOUNT_STATE, API_KEYS, AUDIT_EVENTS, LIMITS, PROJECTS


class SqlAccounts:
    """Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> int:
        with self._database.transaction() as connection:
            return int(connection.scalar(select(ACCOUNT_STATE.c.version)) or 0)

    def load(self) -> Accounts:
        # The version is read first: if the rest is newer, the next check finds a new version.
        with self._database.transaction() as connection:
            state = connection.execute(select(ACCOUNT_STATE)).one()
            return Accounts(
                version=state.version,
                fingerprint=state.fingerprint,
                projects=_all(connection, PROJECTS, PROJECTS.c.created_at, Project),
                keys=_all(connection, API_KEYS, API_KEYS.c.created_at, ApiKey),
                limits=_all(connection, LIMITS, LIMITS.c.owner, Limit),
            )

    def put(self, record: Project | ApiKey | Limit, event: AuditEvent, *, version: int) -> bool:
        table, names = _place(record)
        values = _values(record)
        values.pop("last_used_at", None)
        with self._database.transaction() as connection:
            if not _advance(connection, version):
                return False
            same = [table.c[name] == values[name] for name in names]
            if connection.execute(update(table).where(*same).values(values)).rowcount == 0:
                connection.execute(insert(table), values)
            connection.execute(insert(AUDIT_EVENTS), msgspec.structs.asdict(event))
            return True

    def remove_limit(self, owner: str, model: str, event: AuditEvent, *, version: int) -> bool:
        with self._database.transaction() as connection:
            if not _advance(connection, version):
                return False
            connection.execute(delete(LIMITS).where(LIMITS.c.owner == owner, LIMITS.c.model == model))
            connection.execute(insert(AUDIT_EVENTS), msgspec.structs.asdict(event))
            return True

    def note(self, event: AuditEvent) -> None:
        with self._database.transaction() as connection:
            connection.execute(insert(AUDIT_EVENTS), msgspec.structs.asdict(event))

    def claim(self, fingerprint: str) -> str:
        with self._database.transaction() as connection:
            unclaimed = update(ACCOUNT_STATE).where(ACCOUNT_STATE.c.fingerprint == "")
            connection.execute(unclaimed.values(fingerprint=fingerprint))
            return str(connection.scalar(select(ACCOUNT_STATE.c.fingerprint)))

    def touch(self, uses: Mapping[str, int]) -> None:
        with self._database.transaction() as connection:
            for key_id, at in sorted(uses.items()):  # in a fixed order, so that two servers can't deadlock
                older = API_KEYS.c.last_used_at.is_(None) | (API_KEYS.c.last_used_at < at)
                used = update(API_KEYS).where(API_KEYS.c.id == key_id, older)
                connection.execute(used.values(last_used_at=at))

    def events(self, query: AuditQuery) -> AuditPage | None:
        serial = AUDIT_EVENTS.c.serial
        wanted = _filtered(query)
        with self._database.transaction() as connection:
            for cursor, is_after in ((query.after, True), (query.before, False)):
                if cursor is not None:
                    start = connection.scalar(select(serial).where(AUDIT_EVENTS.c.id == cursor))
                    if start is None:
                        return None
                    wanted = wanted.where(serial < start if is_after else serial > start)
            goes_back = query.before is None or query.after is not None
            wanted = wanted.order_by(serial.desc() if goes_back else serial.asc()).limit(query.limit + 1)
            rows = connection.execute(wanted).all()
        events = [_event(row) for row in rows[: query.limit]]
        return AuditPage(events if goes_back else events[::-1], has_more=len(rows) > query.limit)

    def close(self) -> None:
        self._database.close()


def _advance(connection: Connection, version: int) -> bool:
    """Increment the version, unless another change already has; blocks other changes until the transaction
    ends."""
    state = update(ACCOUNT_STATE).where(ACCOUNT_STATE.c.version == version)
    return connection.execute(state.values(version=version + 1)).rowcount > 0


def _place(record: Project | ApiKey | Limit) -> tuple[Table, tuple[str, ...]]:
    match record:
        case Project():
            return PROJECTS, ("id",)
        case ApiKey():
            return API_KEYS, ("id",)
        case Limit():
            return LIMITS, ("owner", "model")


def _values(record: Project | ApiKey | Limit) -> dict[str, Any]:
    values = msgspec.structs.asdict(record)
    if isinstance(record, ApiKey):
        values["scopes"] = json.dumps(record.scopes)
        values["models"] = None if record.models is None else json.dumps(record.models)
    return values


def _all(connection: Connection, table: Table, order: Any, kind: type[Any]) -> Sequence[Any]:
    rows = connection.execute(select(table).order_by(order, *table.primary_key))
    return [kind(**_fields(row)) for row in rows]


def _fields(row: Row[Any]) -> dict[str, Any]:
    fields = dict(row._mapping)
    for name in ("scopes", "models"):
        if fields.get(name) is not None:
            fields[name] = tuple(json.loads(fields[name]))
    return fields


def _filtered(query: AuditQuery) -> Select[Any]:
    columns = AUDIT_EVENTS.c
    wanted = select(AUDIT_EVENTS)
    for column, values in (
        (columns.type, query.types),
        (columns.project, query.projects),
        (columns.actor, query.actors),
        (columns.subject, query.subjects),
    ):
        if values:
            wanted = wanted.where(column.in_(values))
    if query.since is not None:
        wanted = wanted.where(columns.effective_at >= query.since)
    if query.until is not None:
        wanted = wanted.where(columns.effective_at <= query.until)
    return wanted


def _event(row: Row[Any]) -> AuditEvent:
    fields = dict(row._mapping)
    del fields["serial"]
    return AuditEvent(**fields)
