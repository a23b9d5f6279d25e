"""The router as Ray calls it, without a cluster: what it reads, and what it makes of Ray's figures."""

import asyncio
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest

from myna.fleet.routing import Rendezvous

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: make test-fleet"),
    pytest.mark.filterwarnings("ignore"),
]
ORDER = list(Rendezvous("abc").walk("s"))


class _Id(str):
    """Ray's has an attribute."""

    @property
    def unique_id(self) -> str:
        return str(self)


def router(calls: dict[str, int], links: int = 0) -> Any:
    from myna.fleet.on_ray.router import PrefixRouter

    made: Any = object.__new__(PrefixRouter)
    made._by_name = {
        name: SimpleNamespace(
            replica_id=_Id(name),
            routing_stats={"links": links},
            _replica_info=SimpleNamespace(node_ip=f"10.0.0.{number // 2}"),  # two on the first machine
        )
        for number, name in enumerate(ORDER)
    }
    made._order = Rendezvous("abc")
    made.__dict__["_replica_queue_len_cache"] = calls
    return made


def pending(wanted: str, choice: Any = None) -> Any:
    return SimpleNamespace(
        metadata=SimpleNamespace(session_id=wanted, internal_request_id="request"),
        args=[choice],
        future=asyncio.Future(),
        routing_context=SimpleNamespace(should_backoff=False),
    )


async def chosen(made: Any, wanted: str) -> list[str]:
    from myna.fleet.on_ray.replica_choice import ReplicaChoice

    choice = ReplicaChoice()
    ranks = await made.choose_replicas(list(made._by_name.values()), pending(wanted, choice))
    names: list[str] = [one.replica_id.unique_id for rank in ranks for one in rank]
    assert choice.replica in ("", *names[:1])
    return names


async def test_a_session_goes_home_and_what_is_avoided_comes_last() -> None:
    from myna.fleet.on_ray.router import pinned, session_id

    first, second, third = ORDER
    assert await chosen(router({}), session_id("s", "", [])) == [first, second, third]
    assert await chosen(router({}), session_id("s", third, [])) == [third, first, second]
    assert await chosen(router({}), session_id("s", third, [third])) == [first, second, third]
    assert (await chosen(router({}), session_id("s", first, [first, "10.0.0.0"])))[0] == third
    assert await chosen(router({}), pinned(second)) == [second]
    assert await chosen(router({}), pinned("gone")) == []
    assert len(await chosen(router({}), "")) == 3  # a call that may go anywhere


async def test_the_caller_learns_which_replica_ray_asks() -> None:
    """Not the first in the order, if that doesn't say how much it runs."""
    from myna.fleet.on_ray.replica_choice import ReplicaChoice

    made, choice = router({}), ReplicaChoice()
    request = pending("s", choice)
    request.created_at = 0.0
    made._pending_requests_by_id = {"request": request}
    made._cancel_routing_task_for_pending_request = made._record_queue_wait_time = lambda _: None
    made._remove_pending_request_from_indices = lambda _: None
    second = made._by_name[ORDER[1]]
    made._fulfill_next_pending_request(second, request.metadata)
    assert (choice.replica, choice.node) == (ORDER[1], "10.0.0.0")
    assert choice.chosen_at
    assert request.future.result() is second


async def test_links_do_not_count_as_load() -> None:
    from myna.fleet.on_ray.router import session_id

    first, second, _ = ORDER
    calls = {first: 12, second: 11}
    assert (await chosen(router(calls, links=12), session_id("s", "", [])))[0] == first
    assert (await chosen(router(calls), session_id("s", "", [])))[0] != first


async def test_a_request_that_was_given_up_leaves_its_place_in_rays_loop() -> None:
    """That loop would try forever to route it, and others would wait behind it."""
    from myna.fleet.on_ray.router import pinned

    made, started = router({}), asyncio.Event()
    made._maybe_start_routing_tasks = started.set
    request = pending(pinned("gone"))
    request.future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await made.choose_replicas(list(made._by_name.values()), request)
    await started.wait()


def test_what_crosses_to_the_caller_is_not_of_the_routers_module() -> None:
    """Ray copies that module by value: its classes are others in each server."""
    from myna.fleet.on_ray.replica_choice import ReplicaChoice
    from myna.fleet.on_ray.router import PrefixRouter

    assert ReplicaChoice.__module__ != PrefixRouter.__module__
