"""Administrators' changes: each is validated, applied and recorded in the audit log in one transaction. No
SQL, no HTTP.

A change is computed from the current accounts and committed only if they are still the same; otherwise it is
retried, so that concurrent administrators can't overwrite each other's changes.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import msgspec

from myna.accounts import checks
from myna.accounts.keys import new_key, redact_key
from myna.accounts.secret import Secret
from myna.core import base62
from myna.core.accounts import (
    DEFAULT_PROJECT,
    EVERYONE,
    Accounts,
    AccountStore,
    ApiKey,
    AuditEvent,
    Limit,
    Project,
)
from myna.core.errors import ConfigurationError, InvalidRequest, NotFound, Overloaded, PermissionDenied
from myna.core.translatable import N_

_MAX_ATTEMPTS: Final = 20
LIMIT_NAMES: Final = tuple(name for name in Limit.__struct_fields__ if name not in ("owner", "model"))
ANOTHER_SERVERS_KEYS: Final = N_(
    "The keys of this database were created with another secret; set MYNA_SECRET to the one of the server "
    "that created them, or copy its file `secret`."
)

R = TypeVar("R", Project, ApiKey, Limit)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: a key over HTTP, with the client's address, or a user of the machine
    (`session`)."""

    kind: Literal["api_key", "session"]
    id: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key and its plain text, which is not stored and is shown once."""

    key: ApiKey
    value: str

    def __repr__(self) -> str:
        return f"NewKey({self.key.id})"


class Administration:
    """All methods are blocking. They raise `InvalidRequest`, `NotFound`, `PermissionDenied`."""

    def __init__(self, store: AccountStore, secret: Secret, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._secret = secret
        self._clock = clock

    # --- projects ---

    def create_project(self, actor: Actor, name: str) -> Project:
        project = Project(_new_id("proj_"), checks.check_name(name), self._now())
        details = {"id": project.id, "data": {"name": project.name, "title": project.name}}
        return self._commit(actor, lambda accounts: (project, "project.created", details))

    def rename_project(self, actor: Actor, project_id: str, name: str) -> Project:
        name = checks.check_name(name)

        def change(accounts: Accounts) -> tuple[Project, str, Mapping[str, object]]:
            project = msgspec.structs.replace(find_project(accounts, project_id), name=name)
            return project, "project.updated", {"id": project_id, "changes_requested": {"title": name}}

        return self._commit(actor, change)

    def archive_project(self, actor: Actor, project_id: str) -> Project:
        """Its keys are rejected from now on. Idempotent."""
        if project_id == DEFAULT_PROJECT:
            raise PermissionDenied(N_("The default project can't be archived."), param="project_id")

        def change(accounts: Accounts) -> tuple[Project, str, Mapping[str, object]]:
            project = find_project(accounts, project_id)
            archived_at = project.archived_at or self._now()
            project = msgspec.structs.replace(project, archived_at=archived_at)
            return project, "project.archived", {"id": project_id}

        return self._commit(actor, change)

    # --- keys ---

    def create_key(
        self,
        actor: Actor,
        project_id: str | None,
        name: str,
        *,
        scopes: Sequence[str] = ("inference",),
        models: Sequence[str] | None = None,
        expires_in_s: int | None = None,
        unknown_parameters: str | None = None,
    ) -> NewKey:
        """The new key with its plain text. Raises `ConfigurationError` if other servers use another secret.

        `project_id` None: a project of its own, with the same name, so that no other key reads or deletes
        what it stores. A key that can't store anything belongs to the default project, whose usage and
        metrics a key with the scope `read` sees."""
        if self._store.claim(self._secret.fingerprint) != self._secret.fingerprint:
            raise ConfigurationError(ANOTHER_SERVERS_KEYS)
        value = new_key()
        key = ApiKey(
            _new_id("key_"),
            project_id or DEFAULT_PROJECT,
            checks.check_name(name),
            self._now(),
            self._secret.digest(value),
            redact_key(value),
            checks.check_scopes(scopes),
            checks.check_models(models),
            None if expires_in_s is None else self._now() + checks.check_life(expires_in_s),
            unknown_parameters=checks.check_unknown_parameters(unknown_parameters),
        )
        if project_id is None and "inference" in key.scopes:
            key = msgspec.structs.replace(key, project=self.create_project(actor, name).id)

        def change(accounts: Accounts) -> tuple[ApiKey, str, Mapping[str, object]]:
            if find_project(accounts, key.project).archived_at is not None:
                raise InvalidRequest(
                    N_("The project {project_id} is archived.", project_id=key.project), param="project_id"
                )
            data = {"name": key.name, "scopes": key.scopes, "models": key.models}
            if key.unknown_parameters is not None:
                data["unknown_parameters"] = key.unknown_parameters
            return key, "api_key.created", {"id": key.id, "data": {**data, "expires_at": key.expires_at}}

        return NewKey(self._commit(actor, change), value)

    def change_key(
        self, actor: Actor, project_id: str | None, key_id: str, changes: Mapping[str, Any]
    ) -> ApiKey:
        """`changes` may have name, scopes, models, unknown_parameters, and expires_in_seconds (None:
        never)."""
        fields = self._checked(changes)

        def change(accounts: Accounts) -> tuple[ApiKey, str, Mapping[str, object]]:
            key = find_key(accounts, key_id, project_id)
            requested = {"id": key_id, "changes_requested": dict(changes)}
            return msgspec.structs.replace(key, **fields), "api_key.updated", requested

        return self._commit(actor, change)

    def rotate_key(self, actor: Actor, project_id: str | None, key_id: str, overlap_s: int = 0) -> NewKey:
        """Replace the key's plain text; the old one stays valid for `overlap_s`, any older one is
        rejected."""
        checks.check_overlap(overlap_s)
        value, now = new_key(), self._now()

        def change(accounts: Accounts) -> tuple[ApiKey, str, Mapping[str, object]]:
            key = find_key(accounts, key_id, project_id)
            rotated = msgspec.structs.replace(
                key,
                digest=self._secret.digest(value),
                redacted=redact_key(value),
                old_digest=key.digest if overlap_s else None,
                old_expires_at=now + overlap_s if overlap_s else None,
            )
            changes = {"rotated": True, "overlap_seconds": overlap_s}
            return rotated, "api_key.updated", {"id": key_id, "changes_requested": changes}

        return NewKey(self._commit(actor, change), value)

    def revoke_key(self, actor: Actor, project_id: str | None, key_id: str) -> ApiKey:
        """Reject the key from now on, including its old plain text; this can't be undone."""

        def change(accounts: Accounts) -> tuple[ApiKey, str, Mapping[str, object]]:
            key = find_key(accounts, key_id, project_id)
            return msgspec.structs.replace(key, revoked_at=self._now()), "api_key.deleted", {"id": key_id}

        return self._commit(actor, change)

    # --- limits ---

    def set_limit(self, actor: Actor, owner: str, model: str, changes: Mapping[str, int | None]) -> Limit:
        """Change some of an owner's limits for a model; None removes one. A record without limits is
        deleted."""
        for name, value in changes.items():
            checks.check_limit(name, value)

        def change(accounts: Accounts) -> tuple[Limit, str, Mapping[str, object]]:
            check_owner(accounts, owner)
            before = find_limit(accounts, owner, model)
            details = {
                "id": limit_id(model),
                "owner": owner,
                "changes_requested": dict(changes),
                "previous": {name: getattr(before, name) for name in changes},
            }
            return msgspec.structs.replace(before, **changes), "rate_limit.updated", details

        return self._commit(actor, change)

    # --- events of other resources ---

    def note(self, actor: Actor, kind: str, details: Mapping[str, object], subject: str) -> None:
        """Record a change of another resource in the audit log: a model's files, the owner's key."""
        self._store.note(audit_event(actor, kind, details, "", subject, self._now()))

    # --- transactions ---

    def _commit(self, actor: Actor, change: Callable[[Accounts], tuple[R, str, Mapping[str, object]]]) -> R:
        for _ in range(_MAX_ATTEMPTS):
            accounts = self._store.load()
            record, kind, details = change(accounts)
            event = _event(actor, kind, details, record, accounts, self._now())
            if isinstance(record, Limit) and all(getattr(record, name) is None for name in LIMIT_NAMES):
                is_committed = self._store.remove_limit(
                    record.owner, record.model, event, version=accounts.version
                )
            else:
                is_committed = self._store.put(record, event, version=accounts.version)
            if is_committed:
                return record
        raise Overloaded(N_("Too many administrators are changing the accounts at once; try again."))

    def _checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The validated changes as fields of a key."""
        fields: dict[str, Any] = {}
        for name, value in changes.items():
            match name:
                case "name":
                    fields["name"] = checks.check_name(value)
                case "scopes":
                    fields["scopes"] = checks.check_scopes(value)
                case "models":
                    fields["models"] = checks.check_models(value)
                case "unknown_parameters":
                    fields["unknown_parameters"] = checks.check_unknown_parameters(value)
                case "expires_in_seconds":
                    end = None if value is None else self._now() + checks.check_life(value)
                    fields["expires_at"] = end
        return fields

    def _now(self) -> int:
        return int(self._clock())


def find_project(accounts: Accounts, project_id: str) -> Project:
    for project in accounts.projects:
        if project.id == project_id:
            return project
    raise NotFound(
        N_("No project found with id '{project_id}'.", project_id=project_id[:64]),
        param="project_id",
        code="not_found",
    )


def find_key(accounts: Accounts, key_id: str, project_id: str | None = None) -> ApiKey:
    """The key, unless it is revoked or in another project. `project_id` None: in any project."""
    for key in accounts.keys:
        if key.id == key_id and project_id in (None, key.project) and key.revoked_at is None:
            return key
    raise NotFound(
        N_("No API key found with id '{key_id}'.", key_id=key_id[:64]), param="key_id", code="not_found"
    )


def find_limit(accounts: Accounts, owner: str, model: str) -> Limit:
    """The stored limit, or one without any limits."""
    for limit in accounts.limits:
        if (limit.owner, limit.model) == (owner, model):
            return limit
    return Limit(owner, model)


def check_owner(accounts: Accounts, owner: str) -> None:
    """Raises `NotFound` unless the owner is everyone, an existing project or an existing key."""
    if owner.startswith("key_"):
        find_key(accounts, owner)
    elif owner != EVERYONE:
        find_project(accounts, owner)


def limit_id(model: str) -> str:
    """The id of a limit, unique per owner: `rl-` and the model, or `rl-all` for all models together."""
    return f"rl-{model or 'all'}"


def audit_event(
    actor: Actor, kind: str, details: Mapping[str, object], project: str, subject: str, now: int
) -> AuditEvent:
    """An event for the audit log."""
    data = json.dumps(details, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return AuditEvent(
        _new_id("audit_log-"), kind, now, actor.kind, actor.id, actor.address, project, subject, data
    )


def _event(
    actor: Actor,
    kind: str,
    details: Mapping[str, object],
    record: Project | ApiKey | Limit,
    accounts: Accounts,
    now: int,
) -> AuditEvent:
    match record:
        case Project():
            project, subject = record.id, record.id
        case ApiKey():
            project, subject = record.project, record.id
        case Limit():
            owners = {key.id: key.project for key in accounts.keys}
            project = owners.get(record.owner, record.owner)
            subject = record.owner
    return audit_event(actor, kind, details, project, subject, now)


def _new_id(prefix: str) -> str:
    return prefix + base62.random_text(16)
