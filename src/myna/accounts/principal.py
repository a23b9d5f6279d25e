"""Who asks: the identity that a key stands for. Knows no HTTP and no store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from myna.core.accounts import DEFAULT_PROJECT

Scope = Literal[
    "model.read", "model.request", "api.usage.read", "api.management.read", "api.management.write"
]
"""What an endpoint asks for, by OpenAI's names."""
KeyScope = Literal["inference", "read", "admin"]
"""What a key is given: several of them at once."""

KEY_SCOPES: Final[Mapping[KeyScope, frozenset[Scope]]] = {
    "inference": frozenset({"model.read", "model.request"}),
    "read": frozenset({"model.read", "api.usage.read"}),
    "admin": frozenset({"model.read", "api.usage.read", "api.management.read", "api.management.write"}),
}
ALL_SCOPES: Final[frozenset[Scope]] = frozenset().union(*KEY_SCOPES.values())


@dataclass(frozen=True, slots=True)
class Principal:
    """`key_id` names the key in logs and the ledger; it tells nothing about the key itself.
    `project` parts tenants: fairness, prefix reuse and stored rows never cross it.
    `models` are the names that it may ask for; None: all."""

    key_id: str
    project: str = DEFAULT_PROJECT
    scopes: frozenset[Scope] = ALL_SCOPES
    models: frozenset[str] | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def may_use(self, *names: str) -> bool:
        """Whether one of a model's names is among those that the key may ask for."""
        return self.models is None or not self.models.isdisjoint(names)


LOCAL_USER: Final = Principal("none")
"""Who asks when the server runs without keys, on loopback."""
