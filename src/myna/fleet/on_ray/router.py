"""The router of Ray Serve's handles: `routing`, as Ray calls it. Runs in servers, imported there by Ray.

Derived from Ray's own consistent hashing for its loop, which hands a chosen replica to the request that it
was chosen for: the loop of the base class hands it to whichever request waits first."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

from myna.fleet.on_ray.replica_choice import ReplicaChoice
from myna.fleet.on_ray.scaling import LINKS
from myna.fleet.routing import Rendezvous, away, rank

_PINNED = "replica:"
_UNKNOWN = "-"


def session_id(session: str, last_replica: str, avoided: Sequence[str]) -> str:
    """What the router reads: the session, where it ran last, and the replicas and addresses of machines to
    use only if there are no others."""
    return " ".join((session, last_replica or _UNKNOWN, *avoided))


def pinned(replica: str) -> str:
    """The session id of what must go to that replica."""
    return _PINNED + replica


class PrefixRouter(ConsistentHashRouter):  # type: ignore[misc]  # Ray is not installed where types are checked
    """Ranks replicas by the request's session id."""

    _order = Rendezvous()

    def update_replicas(self, replicas: list[Any]) -> None:
        super().update_replicas(replicas)
        self._by_name = {replica.replica_id.unique_id: replica for replica in replicas}
        self._order = Rendezvous(self._by_name)

    async def choose_replicas(
        self, candidate_replicas: list[Any], pending_request: Any | None = None
    ) -> list[list[Any]]:
        if pending_request is None or not candidate_replicas:
            return [candidate_replicas] if candidate_replicas else []
        if pending_request.future.done():  # its caller gave up, but Ray's loop would go on with it
            asyncio.get_running_loop().call_soon(self._maybe_start_routing_tasks)
            raise asyncio.CancelledError
        pending_request.routing_context.should_backoff = True
        wanted = pending_request.metadata.session_id or pending_request.metadata.internal_request_id
        if wanted.startswith(_PINNED):
            replica = self._by_name.get(wanted.removeprefix(_PINNED))
            return [[replica]] if replica is not None else []
        session, last_replica, *avoided = wanted.split(" ") if " " in wanted else (wanted, _UNKNOWN)
        loads = {name: self._load(replica) for name, replica in self._by_name.items()}
        not_now = away({name: _node(replica) for name, replica in self._by_name.items()}, avoided)
        names = rank(self._order, session, loads.__getitem__, sum(loads.values()), not_now, last_replica)
        self._report(pending_request, self._by_name[names[0]])
        return [[self._by_name[name]] for name in names]

    def _fulfill_next_pending_request(self, replica: Any, request_metadata: Any | None = None) -> None:
        """Ray has made up its mind: the first in the order may be full, or not say how much it runs."""
        self._report(self._get_pending_request_matching_internal_request_id(request_metadata), replica)
        super()._fulfill_next_pending_request(replica, request_metadata)

    @staticmethod
    def _report(request: Any | None, replica: Any) -> None:
        """Write that replica in the request's `ReplicaChoice`, if it has one."""
        if request is not None and request.args and isinstance(choice := request.args[0], ReplicaChoice):
            choice.replica, choice.node = replica.replica_id.unique_id, _node(replica)
            choice.chosen_at = time.monotonic()

    def _load(self, replica: Any) -> int:
        """The requests of all servers at that replica, as far as is known. Ray counts links as requests."""
        num_calls = self.replica_queue_len_cache.get(replica.replica_id) or 0
        return max(0, num_calls - int(replica.routing_stats.get(LINKS, 0)))


def _node(replica: Any) -> str:
    """The address of its machine."""
    return str(replica._replica_info.node_ip)
