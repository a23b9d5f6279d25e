"""Which replica runs a request: the one that has its prefix cached, unless that is too busy.

The less busy of two for a session that is new (Mitzenmacher, 2001), where it ran last for others, both with
bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2018). Pure: no Ray, no clock."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from heapq import heapify, heappop
from itertools import islice
from typing import Final

from myna.core.requests import GenerationRequest, ModelRequest

FIRST_TOKENS: Final = 64
"""How many tokens of a prompt identify its prefix where no conversation is known: a few blocks."""
LOAD_FACTOR: Final = 1.25
FREE_LOAD: Final = 16
"""Up to this many requests at once, a replica is never too busy: a step for so many takes one and a half
times as long as for one, but another replica would compute the prompt again (`bench/fleet_simulation.py`)."""
NUM_RANKED: Final = 4
_NUM_CHOICES: Final = 2
PRIME: Final = (1 << 30) - 35
"""The largest for which Python's integers have one digit."""


def session_of(model: str, request: ModelRequest) -> str:
    """What requests with a common prefix have in common: the same on every server. Equal prefixes under
    different salts or adapters are not shared, so that they needn't run in one place."""
    prefix: object = request.id  # nothing of an embedding request is cached
    if isinstance(request, GenerationRequest):
        prefix = (
            request.cache_salt,
            request.adapter,
            request.session or request.prompt_tokens[:FIRST_TOKENS],
        )
    return blake2b(repr((model, prefix)).encode(), digest_size=16).hexdigest()


class Rendezvous:
    """Each session orders all replicas by a hash of both (Thaler and Ravishankar, 1998), so that each is the
    first of equally many sessions. Adding or removing a replica moves only its own sessions."""

    def __init__(self, replicas: Iterable[str] = ()) -> None:
        self._hashes = [(*hashes(replica), replica) for replica in sorted(set(replicas))]

        self._names = {replica for _, _, replica in self._hashes}

    @property
    def num_replicas(self) -> int:
        return len(self._hashes)

    def __contains__(self, replica: object) -> bool:
        return replica in self._names

    def walk(self, session: str) -> Iterator[str]:
        """All replicas, each once: the session's own first, then what it would be without that."""
        # A linear function per replica is hash enough, and ten times as fast as hashing a text for each.
        point, _ = hashes(session)
        order = [((factor * point + offset) % PRIME, replica) for factor, offset, replica in self._hashes]
        heapify(order)
        while order:
            yield heappop(order)[1]


class SessionAffinity:
    """Where sessions ran last, as far as is known: the most recent ones, and no more than that."""

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._replicas: dict[str, str] = {}

    def learn(self, session: str, replica: str) -> None:
        self._replicas.pop(session, None)
        self._replicas[session] = replica
        if len(self._replicas) > self._max_sessions:
            del self._replicas[next(iter(self._replicas))]

    def of(self, session: str) -> str:
        """Empty if it isn't known."""
        return self._replicas.get(session, "")

    def __iter__(self) -> Iterator[str]:
        """The sessions."""
        return iter(self._replicas)


def capacity(num_running: int, num_replicas: int) -> int:
    """How many requests one replica may have when the next is added to those that run: a quarter more than
    the mean, and what chance adds to it, twice the root of the mean. Without that, where a replica runs five
    requests, a third would leave its cached prefix for nothing."""
    mean = (num_running + 1) / max(1, num_replicas)
    return max(FREE_LOAD, math.ceil(LOAD_FACTOR * mean + 2 * math.sqrt(mean)))


def away(nodes: Mapping[str, str], avoided: Collection[str]) -> set[str]:
    """The replicas to be avoided; `nodes` are the addresses of their machines. Those that are named, and
    those at an address that is, unless no others are left."""
    if not avoided:
        return set()
    named = {one for one in nodes if one in avoided}
    found = named | {one for one, node in nodes.items() if node in avoided}
    return found if len(found) < len(nodes) else named


def rank(
    order: Rendezvous,
    session: str,
    load: Callable[[str], int],
    num_running: int,
    avoided: Collection[str] = (),
    last_replica: str = "",
    num_ranked: int = NUM_RANKED,
) -> list[str]:
    """The replicas to try, best first: the session's `last_replica` if it is known, or else the less busy of
    the first two in its order; or their successors while those have too many of the `num_running` requests.
    Those to be avoided come last."""
    limit = capacity(num_running, order.num_replicas)
    free = (one for one in order.walk(session) if one not in avoided and load(one) < limit)
    best = list(islice(free, num_ranked))
    best[:_NUM_CHOICES] = sorted(best[:_NUM_CHOICES], key=load)
    if last_replica in order and last_replica not in avoided and load(last_replica) < limit:
        best = [last_replica, *(one for one in best if one != last_replica)][:num_ranked]
    if len(best) < min(num_ranked, order.num_replicas):  # the others are busy: the least of them first
        rest = [one for one in order.walk(session) if one not in best]
        rest.sort(key=lambda one: (one in avoided, load(one)))
        best += rest[: num_ranked - len(best)]
    return best


def hashes(text: str) -> tuple[int, int]:
    """Two independent ones, below the prime."""
    digest = blake2b(text.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big") % PRIME, int.from_bytes(digest[8:], "big") % PRIME
