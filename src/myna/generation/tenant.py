"""The tenant of a request, and its context length, as a generation request needs them."""

from dataclasses import dataclass

from myna.accounts.principal import Principal
from myna.core.generator import ModelInfo
from myna.core.requests import BACKGROUND


@dataclass(frozen=True, slots=True)
class Tenant:
    """`owner` is the key used for fair queueing; prompt prefixes are shared only between requests with the
    same `cache_salt`. `is_background`: its requests have the priority `BACKGROUND`, whatever tier they
    request."""

    owner: str = ""
    cache_salt: str = ""
    is_background: bool = False

    def priority(self, requested: int = 0) -> int:
        """The priority of a request that would have that one otherwise."""
        return BACKGROUND if self.is_background else requested


def tenant_of(principal: Principal) -> Tenant:
    """Queueing is fair between keys, whose batches don't count; prefixes are shared within a project."""
    owner = f"batch/{principal.key_id}" if principal.is_background else principal.key_id
    return Tenant(owner, principal.project, principal.is_background)


def context_length(info: ModelInfo) -> int:
    """The context length available to a request: the model's, or less if the KV cache is smaller."""
    return min(info.context_tokens, info.kv_tokens)
