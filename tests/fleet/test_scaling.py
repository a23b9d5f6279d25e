"""How many replicas a model should have."""

from types import SimpleNamespace

import pytest

from myna.fleet.on_ray.scaling import LINKS, replicas_for_requests


@pytest.mark.parametrize(
    ("requests", "links", "replicas"),
    [
        (16.0, {}, 2.0),
        (36.0, {"a": 10.0, "b": 10.0}, 2.0),
        (20.0, {"a": 10.0, "b": 10.0}, 0.0),
        (9.0, {"a": 10.0}, 0.0),
    ],
)
def test_links_of_servers_are_not_requests(requests: float, links: dict[str, float], replicas: float) -> None:
    """Otherwise ten servers with eight requests for each replica would add replicas without end."""
    config = SimpleNamespace(get_target_ongoing_requests=lambda: 8)
    context = SimpleNamespace(
        total_num_requests=requests,
        aggregated_metrics={LINKS: links} if links else None,
        config=config,
        current_num_replicas=2,
    )
    assert replicas_for_requests(context) == (replicas, {})


def test_replicas_that_start_are_awaited() -> None:
    context = SimpleNamespace(current_num_replicas=0, target_num_replicas=3)
    assert replicas_for_requests(context) == (3, {})
