"""A snapshot of the accounts, indexed for lookups by requests. Pure; time is passed in."""

import hmac
from collections.abc import Sequence

from myna.accounts.principal import KEY_SCOPES, Principal, Scope
from myna.core.accounts import ALL_MODELS, EVERYONE, Accounts, ApiKey, Limit


class Directory:
    """`digest` is always the result of `Secret.digest`, which clients can't choose, so that a dictionary
    lookup leaks nothing through its timing; the digest found is still compared in constant time."""

    def __init__(self, accounts: Accounts) -> None:
        self.version = accounts.version
        self._by_id = {key.id: key for key in accounts.keys}
        self._archived = {project.id for project in accounts.projects if project.archived_at is not None}
        self._keys = {key.digest: key for key in accounts.keys}
        self._old = {key.old_digest: key for key in accounts.keys if key.old_digest}
        self._principals = {key.id: _principal(key) for key in accounts.keys}
        self._limits = {(limit.owner, limit.model): limit for limit in accounts.limits}

    def find(self, digest: str, now: float) -> Principal | None:
        """The principal of the key with that digest, if it is valid now."""
        key = self._key(digest)
        if key is None or self._reason(key, digest, now):
            return None
        return self._principals[key.id]

    def principal(self, key_id: str, now: float) -> Principal | None:
        """The principal of the key with that id, if it is valid now."""
        key = self._by_id.get(key_id)
        return None if key is None or self._reason(key, key.digest, now) else self._principals[key_id]

    def rejection_reason(self, digest: str, now: float) -> str:
        """Why a known key is rejected now, for its holder; empty for an unknown key."""
        key = self._key(digest)
        return "" if key is None else self._reason(key, digest, now)

    def limits(self, principal: Principal, names: Sequence[str]) -> tuple[Limit, ...]:
        """All limits of a request to the model with these names."""
        if not self._limits:
            return ()
        keys = [
            (owner, model)
            for owner in (principal.key_id, principal.project, EVERYONE)
            for model in (*dict.fromkeys(names), ALL_MODELS)
        ]
        return tuple(self._limits[key] for key in keys if key in self._limits)

    def _key(self, digest: str) -> ApiKey | None:
        key = self._keys.get(digest) or self._old.get(digest)
        if key is None:
            return None
        known = key.digest if digest in self._keys else key.old_digest or ""
        return key if hmac.compare_digest(known, digest) else None

    def _reason(self, key: ApiKey, digest: str, now: float) -> str:
        if key.revoked_at is not None:
            return "This key was revoked."
        if key.project in self._archived:
            return "The project of this key is archived."
        if digest == key.old_digest and (key.old_expires_at is None or now >= key.old_expires_at):
            return "This key was rotated and its grace period has ended."
        if key.expires_at is not None and now >= key.expires_at:
            return "This key has expired."
        return ""


def _principal(key: ApiKey) -> Principal:
    scopes: frozenset[Scope] = frozenset().union(*(_scopes(name) for name in key.scopes))
    models = None if key.models is None else frozenset(key.models)
    own = key.unknown_parameters
    return Principal(key.id, key.project, scopes, models, None if own is None else own == "ignore")


def _scopes(name: str) -> frozenset[Scope]:
    """The scopes; none for one that only a newer Myna on the same database knows."""
    return next((scopes for known, scopes in KEY_SCOPES.items() if known == name), frozenset())
