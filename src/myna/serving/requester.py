"""On whose behalf a request runs, in the terms that a generation carries."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requester:
    """`owner` is the key or project that the queue is fair between; a prefix of a prompt is shared
    only under an equal `cache_salt`."""

    owner: str = ""
    cache_salt: str = ""
