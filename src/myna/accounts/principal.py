"""The identity of a key's holder. Knows no HTTP and no store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from myna.core.accounts import DEFAULT_PROJECT

Scope = Literal[
    "model.read",
    "model.request",
    "model.request.priority",
    "api.usage.read",
    "api.management.read",
    "api.management.write",
]
"""What endpoints require, with OpenAI's names, except for `model.request.priority`: the tier of that name."""
KeyScope = Literal["inference", "read", "admin", "priority"]
"""What keys are given; a key may have several."""

KEY_SCOPES: Final[Mapping[KeyScope, frozenset[Scope]]] = {
    "inference": frozenset({"model.read", "model.request"}),
    "read": frozenset({"model.read", "api.usage.read"}),
    "admin": frozenset({"model.read", "api.usage.read", "api.management.read", "api.management.write"}),
    "priority": frozenset({"model.request.priority"}),
}
ALL_SCOPES: Final[frozenset[Scope]] = frozenset().union(*KEY_SCOPES.values())


@dataclass(frozen=True, slots=True)
class Principal:
    """`key_id` identifies the key in logs and the ledger without revealing it. `project` separates tenants:
    prefix reuse and stored rows never cross it. `models` are the names that the key may use; None: all.
    `ignores_unknown`: whether parameters that aren't supported are dropped; None: as the server is set.
    `is_background`: the request is one of a batch, and is served behind all others."""

    key_id: str
    project: str = DEFAULT_PROJECT
    scopes: frozenset[Scope] = ALL_SCOPES
    models: frozenset[str] | None = None
    ignores_unknown: bool | None = None
    is_background: bool = False

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def may_use(self, *names: str) -> bool:
        """Whether the key may use a model with these names."""
        return self.models is None or not self.models.isdisjoint(names)


LOCAL_USER: Final = Principal("none")
"""The principal of requests without a key, on loopback."""
