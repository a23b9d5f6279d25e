"""The tenant of a request, and its context length, as a generation request needs them."""

from dataclasses import dataclass

from myna.accounts.principal import Principal
from myna.core.generator import ModelInfo


@dataclass(frozen=True, slots=True)
class Tenant:
    """`owner` is the key used for fair queueing; prompt prefixes are shared only between requests with the
    same `cache_salt`."""

    owner: str = ""
    cache_salt: str = ""


def tenant_of(principal: Principal) -> Tenant:
    """Queueing is fair between keys, whose batches don't count; prefixes are shared within a project."""
    owner = f"batch/{principal.key_id}" if principal.is_background else principal.key_id
    return Tenant(owner, principal.project)


def context_length(info: ModelInfo) -> int:
    """The context length available to a request: the model's, or less if the KV cache is smaller."""
    return min(info.context_tokens, info.kv_tokens)
