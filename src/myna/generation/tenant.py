"""On whose behalf a request runs, and how long it may be, in the terms that a generation carries."""

from dataclasses import dataclass

from myna.accounts.principal import Principal
from myna.core.generator import ModelInfo


@dataclass(frozen=True, slots=True)
class Tenant:
    """`owner` is the key that the queue is fair between; a prefix of a prompt is shared only under an
    equal `cache_salt`."""

    owner: str = ""
    cache_salt: str = ""


def tenant_of(principal: Principal) -> Tenant:
    """Fair between keys; prefixes are shared within a project."""
    return Tenant(principal.key_id, principal.project)


def context_length(info: ModelInfo) -> int:
    """The context length that a request is told: the model's, or less where the KV cache is smaller."""
    return min(info.context_tokens, info.kv_tokens)
