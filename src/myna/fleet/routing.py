"""Which replica runs a request: the one that is likely to have its prefix cached, unless that is too busy.

Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018). Pure: no Ray, no clock."""

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Final

from myna.core.requests import GenerationRequest, ModelRequest

FIRST_TOKENS: Final = 64
"""How many tokens of a prompt identify its prefix where no conversation is known: a few blocks."""
LOAD_FACTOR: Final = 1.25
FREE_LOAD: Final = 4
"""Up to this many requests at once, a replica is never too busy: they run in one batch."""
NUM_RANKED: Final = 4
_NUM_POINTS: Final = 256


def session_of(model: str, request: ModelRequest) -> str:
    """What requests with a common prefix have in common: the same on every server. Equal prefixes under
    different salts are not shared, so that they needn't run in one place."""
    prefix: object = request.id  # nothing of an embedding request is cached
    if isinstance(request, GenerationRequest):
        prefix = request.cache_salt, request.session or request.prompt_tokens[:FIRST_TOKENS]
    return blake2b(repr((model, prefix)).encode(), digest_size=16).hexdigest()


class HashRing:
    """Replicas on a circle, each at many points. Adding or removing one moves only the sessions next to its
    points."""

    def __init__(self, replicas: Iterable[str] = (), num_points: int = _NUM_POINTS) -> None:
        points = sorted(
            (_hash(f"{replica}:{number}"), replica)
            for replica in set(replicas)
            for number in range(num_points)
        )
        self._hashes = [point for point, _ in points]
        self._owners = [replica for _, replica in points]
        self.num_replicas = len(self._hashes) // num_points

    def walk(self, session: str) -> Iterator[str]:
        """All replicas, each once, in the order in which they follow the session's point."""
        start = bisect_right(self._hashes, _hash(session))
        seen: set[str] = set()
        for offset in range(len(self._owners)):
            owner = self._owners[(start + offset) % len(self._owners)]
            if owner not in seen:
                seen.add(owner)
                yield owner
                if len(seen) == self.num_replicas:
                    return


def capacity(num_running: int, num_replicas: int) -> int:
    """How many requests one replica may have when the next is added to those that run: a quarter more than
    the mean, and what chance adds to it, twice the root of the mean. Without that, where a replica runs five
    requests, a third would leave its cached prefix for nothing."""
    mean = (num_running + 1) / max(1, num_replicas)
    return max(FREE_LOAD, math.ceil(LOAD_FACTOR * mean + 2 * math.sqrt(mean)))


def rank(
    ring: HashRing,
    session: str,
    load: Callable[[str], int],
    num_running: int,
    avoided: Collection[str] = (),
    num_ranked: int = NUM_RANKED,
) -> list[str]:
    """The replicas to try, best first: the session's own, or its successors while that has too many of the
    `num_running` requests. Those to be avoided come last."""
    limit = capacity(num_running, ring.num_replicas)
    free = (one for one in ring.walk(session) if one not in avoided and load(one) < limit)
    best = list(islice(free, num_ranked))
    if len(best) < min(num_ranked, ring.num_replicas):  # the others are busy: the least of them first
        rest = [one for one in ring.walk(session) if one not in best]
        rest.sort(key=lambda one: (one in avoided, load(one)))
        best += rest[: num_ranked - len(best)]
    return best


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
