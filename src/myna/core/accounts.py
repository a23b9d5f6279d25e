"""Projects, keys, limits and audit events, and the interface of their stores."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

DEFAULT_PROJECT: Final = "default"
"""The project that always exists: the owner's key belongs to it, and it is never archived."""
EVERYONE: Final = ""
"""The owner of a limit on the requests of all projects together."""
ALL_MODELS: Final = ""
"""The model of a limit on the requests to all models together."""


class Project(msgspec.Struct, frozen=True):
    """A tenant. Keys of an archived project are rejected."""

    id: str
    name: str
    created_at: int
    archived_at: int | None = None


class ApiKey(msgspec.Struct, frozen=True):
    """A key without its plain text: `redacted` may be shown, `digest` is a keyed hash.

    `scopes` are names of `accounts.principal.KeyScope`. `models` are the names that it may use; None: all.
    Rotation gives it a new digest; the old one is valid until `old_expires_at`. Revoked keys are kept, so
    that usage and audit events can show their names. `last_used_at` is at most a minute late.
    `unknown_parameters` is "reject" or "ignore", for requests that have some; None: as the server is set."""

    id: str
    project: str
    name: str
    created_at: int
    digest: str
    redacted: str
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None = None
    expires_at: int | None = None
    old_digest: str | None = None
    old_expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    unknown_parameters: str | None = None


class Limit(msgspec.Struct, frozen=True):
    """What the requests of one owner to one model may use in total. None: unlimited.

    `owner` is a project's id, a key's id or `EVERYONE`; `model` a name or `ALL_MODELS`. A budget is
    per calendar month (UTC), in hundredths of the currency of the prices. Requests beyond
    `priority_requests_per_minute` are served at the default tier.
    """

    owner: str
    model: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrent_requests: int | None = None
    priority_requests_per_minute: int | None = None
    budget_cents: int | None = None


class AuditEvent(msgspec.Struct, frozen=True):
    """One entry of the audit log: who changed what, when, and from where. Never contains a secret.

    `actor` is a key's id, or the name of the operating system user who ran the command (see `actor_type`);
    `address` is the client's address, empty for commands. `details` is JSON that depends on the type.
    """

    id: str
    type: str
    effective_at: int
    actor_type: str
    actor: str
    address: str
    project: str
    subject: str
    details: bytes


class Accounts(msgspec.Struct, frozen=True):
    """All projects, keys and limits at one moment. `version` grows with every change.

    `fingerprint` identifies the server's secret that the digests were made with; empty before the first key.
    """

    version: int
    fingerprint: str
    projects: Sequence[Project]
    keys: Sequence[ApiKey]
    limits: Sequence[Limit]


class AuditQuery(msgspec.Struct, frozen=True):
    """Selects events, newest first: older than the event `after` (or newer than `before`). Empty: all."""

    limit: int = 20
    after: str | None = None
    before: str | None = None
    types: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None


class AuditPage(msgspec.Struct, frozen=True):
    """Some events, newest first, and whether more follow in the requested direction."""

    events: Sequence[AuditEvent]
    has_more: bool


class AccountStore(Protocol):
    """All methods are blocking and thread-safe; call them off the event loop."""

    def version(self) -> int:
        """The version that `load` would return now, with the cheapest possible query."""
        ...

    def load(self) -> Accounts: ...

    def put(self, record: Project | ApiKey | Limit, event: AuditEvent, *, version: int) -> bool:
        """Add or replace the record and add the event, atomically. False, with no effect, if anything has
        changed since `version`: load and decide again. A key's last use is left unchanged."""
        ...

    def remove_limit(self, owner: str, model: str, event: AuditEvent, *, version: int) -> bool:
        """The same to remove a limit."""
        ...

    def note(self, event: AuditEvent) -> None:
        """Add an event that didn't change the accounts, such as the deletion of a model."""
        ...

    def claim(self, fingerprint: str) -> str:
        """Set the fingerprint if there is none yet; returns the stored one."""
        ...

    def touch(self, uses: Mapping[str, int]) -> None:
        """Record when keys (by id) were last used. Doesn't change the version."""
        ...

    def events(self, query: AuditQuery) -> AuditPage | None:
        """None if `after` or `before` is not the id of an event."""
        ...

    def close(self) -> None: ...
