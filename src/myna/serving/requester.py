"""On whose behalf a request runs, and how long it may be, in the terms that a generation carries."""

from dataclasses import dataclass

from myna.accounts.principal import Principal
from myna.core.generator import ModelInfo


@dataclass(frozen=True, slots=True)
class Requester:
    """`owner` is the key that the queue is fair between; a prefix of a prompt is shared only under an
    equal `cache_salt`."""

    owner: str = ""
    cache_salt: str = ""


def requester_of(principal: Principal) -> Requester:
    """Fair between keys; prefixes are shared within a project."""
    return Requester(principal.key_id, principal.project)


def room(info: ModelInfo) -> int:
    """The context length that a request is told: the model's, or less where the KV cache is smaller."""
    return min(info.context_tokens, info.kv_tokens)
