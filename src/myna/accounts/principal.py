"""Who asks: the identity that a key stands for. Knows no HTTP and no store."""

from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["model.read", "model.request", "admin"]
ALL_SCOPES: Final[frozenset[Scope]] = frozenset({"model.read", "model.request", "admin"})


@dataclass(frozen=True, slots=True)
class Principal:
    """`key_id` names the key in logs and the ledger; it tells nothing about the key itself.
    `project` parts tenants: fairness, prefix reuse and stored rows never cross it."""

    key_id: str
    project: str = "default"
    scopes: frozenset[Scope] = ALL_SCOPES

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes


LOCAL_USER: Final = Principal("none")
"""Who asks when the server runs without keys, on loopback."""
