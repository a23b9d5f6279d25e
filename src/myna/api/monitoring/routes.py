"""`GET /metrics` and `GET /v1/organization/status`: how busy the server is."""

import time
from typing import Final

import orjson
from starlette.responses import Response

from myna.core.accounts import DEFAULT_PROJECT
from myna.core.errors import NotFound, PermissionDenied
from myna.core.generator import RunningModel
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.usage.prometheus import exposition


async def metrics(context: RequestContext) -> Response:
    """All projects' requests are counted here: for the server's owner, and for programs beside it."""
    require(context.principal, "api.usage.read")
    if context.principal.project != DEFAULT_PROJECT and not context.principal.may("api.management.read"):
        raise PermissionDenied(
            "Metrics count every project's requests; a key of the default project may read them."
        )
    services = context.services
    if services.instruments is None:
        raise NotFound(
            "This server counts no metrics: it was started with metrics = false.", code="not_found"
        )
    accept = context.request.headers.get("accept", "")
    body, content_type = exposition(
        services.instruments, services.pool, services.ledger, services.completion_writer, accept
    )
    return Response(body, headers={"content-type": content_type})


async def status(context: RequestContext) -> Response:
    """What is loaded, and its queue."""
    require(context.principal, "api.usage.read")
    running, ledger = context.services.pool.running(), context.services.ledger
    told = [one.last_stats for _, one in running if one.last_stats is not None]
    body: dict[str, object] = {
        "object": "organization.status",
        "uptime_s": int(time.monotonic() - context.services.started),
        "num_requests": sum(figures.num_running + figures.num_waiting for figures in told),
        "models": [_model(name, one) for name, one in running],
        "ledger": None,
    }
    if ledger is not None:
        body["ledger"] = {"num_waiting_rows": ledger.state.num_waiting, "is_writing": ledger.state.is_writing}
    return Response(orjson.dumps(body), media_type="application/json")


ENDPOINTS: Final = (
    Endpoint("GET", "/metrics", metrics, names_organization=False, needs_no_key_locally=True),
    Endpoint("GET", "/v1/organization/status", status),
)


def _model(name: str, one: RunningModel) -> dict[str, object]:
    info, figures = one.info, one.last_stats
    return {
        "id": name,
        "is_ready": one.is_ready,
        "engine": info.engine,
        "context_tokens": info.context_tokens,
        "kv_tokens": info.kv_tokens,
        "num_running": figures.num_running if figures else 0,
        "num_waiting": figures.num_waiting if figures else 0,
        "kv_usage": round(figures.kv_usage, 4) if figures else 0.0,
    }
