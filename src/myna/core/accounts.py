"""Projects, keys, limits and the record of administrative acts, and the seam of the stores that keep them."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

DEFAULT_PROJECT: Final = "default"
"""The project that is always there: the owner's key belongs to it, and it is never archived."""
EVERYONE: Final = ""
"""The owner of a limit that counts the requests of all projects together."""
ALL_MODELS: Final = ""
"""The model of a limit that counts the requests to all models together."""


class Project(msgspec.Struct, frozen=True):
    """A tenant. Keys of an archived one open nothing."""

    id: str
    name: str
    created_at: int
    archived_at: int | None = None


class ApiKey(msgspec.Struct, frozen=True):
    """A key without its plain text, of which `redacted` is what may be shown and `digest` a keyed hash.

    `scopes` are names of `accounts.principal.KeyScope`. `models` are the names it may ask for; None: all.
    A rotation gives it a new digest; the old one opens the server until `old_expires_at`. Revoked keys
    stay, so that usage and acts keep their names. `last_used_at` is told a minute late at most.
    """

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


class Limit(msgspec.Struct, frozen=True):
    """What the requests of one owner to one model may use together. None: as much as they like.

    `owner` is a project's id, a key's id or `EVERYONE`; `model` a name or `ALL_MODELS`. A budget is in
    hundredths of the currency that prices are in, and for a calendar month (UTC).
    """

    owner: str
    model: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrent_requests: int | None = None
    budget_cents: int | None = None


class AuditEvent(msgspec.Struct, frozen=True):
    """One administrative act: who did what to which thing, when, and from where. Never holds a secret.

    `actor` is a key's id, or the name of the machine's user who ran the command (`actor_type` says which);
    `address` the client's address, empty for a command. `details` is JSON of the type's own shape.
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
    """Everything that decides who may do what, at one moment. `version` grows with every change.

    `fingerprint` tells the server's secret by which digests were made; empty before the first key.
    """

    version: int
    fingerprint: str
    projects: Sequence[Project]
    keys: Sequence[ApiKey]
    limits: Sequence[Limit]


class AuditQuery(msgspec.Struct, frozen=True):
    """Which events: newest first, older than the event `after` (or newer than `before`). Empty: all."""

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
    """Some events, newest first, and whether more follow in the direction that was asked for."""

    events: Sequence[AuditEvent]
    has_more: bool


class AccountStore(Protocol):
    """All methods are blocking and thread-safe; call them off the event loop."""

    def version(self) -> int:
        """The version that `load` would return now; as cheap as a query can be."""
        ...

    def load(self) -> Accounts: ...

    def put(self, record: Project | ApiKey | Limit, event: AuditEvent, *, version: int) -> bool:
        """Add or replace the record and note the act, both or neither. False, with no effect, if something
        else has changed since `version`: load again, decide again. A key's last use is left as it is."""
        ...

    def remove_limit(self, owner: str, model: str, event: AuditEvent, *, version: int) -> bool:
        """The same for a limit that is to go."""
        ...

    def note(self, event: AuditEvent) -> None:
        """Keep an act that changed nothing of the accounts (a model was deleted)."""
        ...

    def claim(self, fingerprint: str) -> str:
        """The fingerprint that stands: this one, unless another came first."""
        ...

    def touch(self, uses: Mapping[str, int]) -> None:
        """Note when keys (by id) were last used. Changes no version."""
        ...

    def events(self, query: AuditQuery) -> AuditPage | None:
        """None if `after` or `before` is no event's id."""
        ...

    def close(self) -> None: ...
