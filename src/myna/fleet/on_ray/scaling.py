"""How many replicas a model should have, for Ray Serve's controller, which imports this."""

from typing import Any, Final

LINKS: Final = "links"
"""A replica's figure: how many servers have a link to it."""


def replicas_for_requests(context: Any) -> tuple[float, dict[str, Any]]:
    """As many as the requests need that run or wait. To Ray, links are requests, too, and each new replica
    would get some: they don't count."""
    if not context.current_num_replicas:
        return context.target_num_replicas, {}  # they are starting; for a first one, Ray doesn't ask
    figures = (context.aggregated_metrics or {}).get(LINKS, {})
    num_requests = max(0.0, context.total_num_requests - sum(figures.values()))
    return num_requests / context.config.get_target_ongoing_requests(), {}
