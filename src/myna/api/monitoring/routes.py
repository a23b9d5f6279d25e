"""`GET /metrics` and `GET /v1/organization/status`: the server's load."""

import time
from typing import Final

import orjson
from starlette.responses import Response

from myna.core.accounts import DEFAULT_PROJECT
from myna.core.errors import NotFound, PermissionDenied
from myna.core.generator import RunningModel
from myna.core.stats import ReplicaStats
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.usage.prometheus import exposition


async def metrics(context: RequestContext) -> Response:
    """Metrics of all projects' requests; for the server's owner, and for programs on the same machine."""
    require(context.principal, "api.usage.read")
    if context.principal.project != DEFAULT_PROJECT and not context.principal.may("api.management.read"):
        raise PermissionDenied(
            "Metrics cover every project's requests; only a key of the default project may read them."
        )
    services = context.services
    if services.instruments is None:
        raise NotFound("This server has no metrics: it was started with metrics = false.", code="not_found")
    accept = context.request.headers.get("accept", "")
    body, content_type = exposition(
        services.instruments, services.pool, services.ledger, services.store_writer, accept
    )
    return Response(body, headers={"content-type": content_type})


async def status(context: RequestContext) -> Response:
    """The loaded models and their queues, and finished answers that their clients have not read yet."""
    require(context.principal, "api.usage.read")
    running, ledger = context.services.pool.running(), context.services.ledger
    reported = [model.last_stats for _, model in running if model.last_stats is not None]
    unread = context.services.unread_answers
    body: dict[str, object] = {
        "object": "organization.status",
        "uptime_s": int(time.monotonic() - context.services.started),
        "num_requests": sum(stats.num_running + stats.num_waiting for stats in reported) + len(unread),
        "unread_answers": {"num_answers": len(unread), "num_bytes": unread.num_bytes},
        "models": [_model(name, model) for name, model in running],
        "ledger": None,
    }
    if ledger is not None:
        body["ledger"] = {"num_waiting_rows": ledger.state.num_waiting, "is_writing": ledger.state.is_writing}
    return Response(orjson.dumps(body), media_type="application/json")


ENDPOINTS: Final = (
    Endpoint("GET", "/metrics", metrics, names_organization=False, needs_no_key_locally=True),
    Endpoint("GET", "/v1/organization/status", status),
)


def _model(name: str, model: RunningModel) -> dict[str, object]:
    info, stats = model.info, model.last_stats
    return {
        "id": name,
        "is_ready": model.is_ready,
        "engine": info.engine,
        "context_tokens": info.context_tokens,
        "kv_tokens": info.kv_tokens,
        "num_running": stats.num_running if stats else 0,
        "num_waiting": stats.num_waiting if stats else 0,
        "kv_usage": round(stats.kv_usage, 4) if stats else 0.0,
        "replicas": [_replica(one) for one in stats.replicas] if stats else [],
    }


def _replica(one: ReplicaStats) -> dict[str, object]:
    return {
        "id": one.replica,
        "node": one.node,
        "num_running": one.stats.num_running,
        "num_waiting": one.stats.num_waiting,
        "kv_usage": round(one.stats.kv_usage, 4),
        "prompt_tokens": one.prompt_tokens,
        "cached_tokens": one.cached_tokens,
    }
