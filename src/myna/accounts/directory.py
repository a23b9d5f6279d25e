"""The accounts at one moment, arranged for the questions of every request. Pure; time is passed in."""

import hmac
from collections.abc import Sequence

from myna.accounts.principal import KEY_SCOPES, Principal, Scope
from myna.core.accounts import ALL_MODELS, EVERYONE, Accounts, ApiKey, Limit


class Directory:
    """`digest` is always that of `Secret.digest`: it can't be chosen by who asks, so looking it up in a
    table tells nothing by its time; the comparison with what was found is constant all the same."""

    def __init__(self, accounts: Accounts) -> None:
        self.version = accounts.version
        self._archived = {project.id for project in accounts.projects if project.archived_at is not None}
        self._keys = {key.digest: key for key in accounts.keys}
        self._old = {key.old_digest: key for key in accounts.keys if key.old_digest}
        self._principals = {key.id: _principal(key) for key in accounts.keys}
        self._limits = {(limit.owner, limit.model): limit for limit in accounts.limits}

    def find(self, digest: str, now: float) -> Principal | None:
        """Who the key of that digest stands for, if it opens anything now."""
        key = self._key(digest)
        if key is None or self._reason(key, digest, now):
            return None
        return self._principals[key.id]

    def rejection_reason(self, digest: str, now: float) -> str:
        """Why a key of ours opens nothing now, for its holder; empty for a key that we don't know."""
        key = self._key(digest)
        return "" if key is None else self._reason(key, digest, now)

    def limits(self, principal: Principal, names: Sequence[str]) -> tuple[Limit, ...]:
        """All limits that a request to the model of these names falls under."""
        if not self._limits:
            return ()
        places = [
            (owner, model)
            for owner in (principal.key_id, principal.project, EVERYONE)
            for model in (*dict.fromkeys(names), ALL_MODELS)
        ]
        return tuple(self._limits[place] for place in places if place in self._limits)

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
            return "This key was replaced by a new one, and the time for both is over."
        if key.expires_at is not None and now >= key.expires_at:
            return "This key has expired."
        return ""


def _principal(key: ApiKey) -> Principal:
    scopes: frozenset[Scope] = frozenset().union(*(_scopes(name) for name in key.scopes))
    models = None if key.models is None else frozenset(key.models)
    return Principal(key.id, key.project, scopes, models)


def _scopes(name: str) -> frozenset[Scope]:
    """None for a scope that a newer Myna on the same database knows: less is safer than more."""
    return next((scopes for known, scopes in KEY_SCOPES.items() if known == name), frozenset())
