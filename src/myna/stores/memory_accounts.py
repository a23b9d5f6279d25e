"""Projects, keys, limits and audit events in memory, lost when the process ends."""

import threading
import time
from collections.abc import Mapping

import msgspec

from myna.core.accounts import (
    DEFAULT_PROJECT,
    Accounts,
    ApiKey,
    AuditEvent,
    AuditPage,
    AuditQuery,
    Limit,
    Project,
)


class MemoryAccounts:
    """Records in dicts by their keys, audit events in a list."""

    def __init__(self) -> None:
        default = Project(DEFAULT_PROJECT, "Default project", int(time.time()))
        self._projects = {default.id: default}
        self._keys: dict[str, ApiKey] = {}
        self._limits: dict[tuple[str, str], Limit] = {}
        self._events: list[AuditEvent] = []
        self._version = 0
        self._fingerprint = ""
        self._lock = threading.Lock()

    def version(self) -> int:
        return self._version

    def load(self) -> Accounts:
        with self._lock:
            return Accounts(
                self._version,
                self._fingerprint,
                sorted(self._projects.values(), key=lambda project: (project.created_at, project.id)),
                sorted(self._keys.values(), key=lambda key: (key.created_at, key.id)),
                sorted(self._limits.values(), key=lambda limit: (limit.owner, limit.model)),
            )

    def put(self, record: Project | ApiKey | Limit, event: AuditEvent, *, version: int) -> bool:
        with self._lock:
            if version != self._version:
                return False
            match record:
                case Project():
                    self._projects[record.id] = record
                case ApiKey():
                    old = self._keys.get(record.id)
                    used = old.last_used_at if old else None
                    self._keys[record.id] = msgspec.structs.replace(record, last_used_at=used)
                case Limit():
                    self._limits[record.owner, record.model] = record
            self._version += 1
            self._events.append(event)
            return True

    def remove_limit(self, owner: str, model: str, event: AuditEvent, *, version: int) -> bool:
        with self._lock:
            if version != self._version:
                return False
            self._limits.pop((owner, model), None)
            self._version += 1
            self._events.append(event)
            return True

    def note(self, event: AuditEvent) -> None:
        with self._lock:
            self._events.append(event)

    def claim(self, fingerprint: str) -> str:
        with self._lock:
            self._fingerprint = self._fingerprint or fingerprint
            return self._fingerprint

    def touch(self, uses: Mapping[str, int]) -> None:
        with self._lock:
            for key_id, at in uses.items():
                key = self._keys.get(key_id)
                if key is not None and (key.last_used_at is None or key.last_used_at < at):
                    self._keys[key_id] = msgspec.structs.replace(key, last_used_at=at)

    def events(self, query: AuditQuery) -> AuditPage | None:
        with self._lock:
            events = list(self._events)
        places = {event.id: place for place, event in enumerate(events)}
        first, last = 0, len(events)
        if query.after is not None:
            if query.after not in places:
                return None
            last = places[query.after]
        if query.before is not None:
            if query.before not in places:
                return None
            first = places[query.before] + 1
        found = [event for event in events[first:last] if _fits(event, query)]
        if query.before is not None and query.after is None:
            return AuditPage(found[: query.limit][::-1], has_more=len(found) > query.limit)
        return AuditPage(found[::-1][: query.limit], has_more=len(found) > query.limit)

    def close(self) -> None:
        """Nothing to close."""


def _fits(event: AuditEvent, query: AuditQuery) -> bool:
    return (
        (not query.types or event.type in query.types)
        and (not query.projects or event.project in query.projects)
        and (not query.actors or event.actor in query.actors)
        and (not query.subjects or event.subject in query.subjects)
        and (query.since is None or event.effective_at >= query.since)
        and (query.until is None or event.effective_at <= query.until)
    )
