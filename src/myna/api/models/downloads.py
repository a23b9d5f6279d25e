"""For administrators: what this machine could run, and downloads of models."""

from typing import Final

import orjson
from starlette.responses import Response

from myna.accounts.principal import Scope
from myna.catalog.advice import ModelAdvice
from myna.catalog.downloads import Download, Downloads
from myna.catalog.entries import CatalogEntry, HubFile
from myna.core.errors import NotFound
from myna.request.auditing import note
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext


async def list_available(context: RequestContext) -> Response:
    """The models of the catalog, those to take on this machine first. Empty if the server downloads none."""
    require(context.principal, "api.management.read")
    downloads = context.services.downloads
    if downloads is None:
        return _json({"object": "list", "data": []})
    listed, here = await downloads.model_advice()
    shapes = [_advice(advice, advice.entry.id in here, downloads.find(advice.entry.id)) for advice in listed]
    return _json({"object": "list", "data": shapes})


async def list_downloads(context: RequestContext) -> Response:
    """The downloads since the server's start, the newest first."""
    downloads = _downloads(context, "api.management.read")
    return _json({"object": "list", "data": [_download(download) for download in downloads.listed()]})


async def start_download(context: RequestContext) -> Response:
    """Start to download a model: any name that `myna pull` takes."""
    downloads = _downloads(context, "api.management.write")
    download = await downloads.start(_name(context))
    await note(context, "model.pulled", {"id": download.id}, download.id)
    return _json(_download(download), status=202)


async def cancel_download(context: RequestContext) -> Response:
    """Cancel a download. Status 409 if it has ended."""
    return _json(_download(_downloads(context, "api.management.write").cancel(_name(context))))


_MODELS: Final = "/v1/organization/models"
ENDPOINTS: Final = (
    Endpoint("GET", f"{_MODELS}/available", list_available),
    Endpoint("GET", f"{_MODELS}/pulls", list_downloads),
    Endpoint("POST", f"{_MODELS}/{{name:path}}/pull", start_download),
    Endpoint("POST", f"{_MODELS}/{{name:path}}/pull/cancel", cancel_download),
)


def _downloads(context: RequestContext, scope: Scope) -> Downloads:
    require(context.principal, scope)
    if context.services.downloads is None:
        raise NotFound("This server runs a simulated engine, and downloads no models.", code="not_found")
    return context.services.downloads


def _name(context: RequestContext) -> str:
    name: str = context.request.path_params["name"]
    return name


def _advice(advice: ModelAdvice, is_here: bool, download: Download | None) -> dict[str, object]:
    entry = advice.entry
    return {
        "id": entry.id,
        "object": "model.available",
        "owned_by": entry.owned_by,
        "size_bytes": entry.num_bytes,
        "memory_bytes": advice.needed_bytes,
        "context_tokens": entry.context_tokens,
        "capabilities": entry.capabilities,
        "languages": entry.languages,
        "licence": entry.licence,
        "terms": entry.terms or None,
        "sources": _sources(entry),
        "is_here": is_here,
        "fits": advice.fits,
        "runs": advice.can_run,
        "tokens_per_s": round(advice.tokens_per_s, 1),
        "best_for": advice.best_for,
        "pull": None if download is None else _download(download),
    }


def _sources(entry: CatalogEntry) -> list[str]:
    return [source.hub if isinstance(source, HubFile) else "pypi" for source in entry.sources]


def _download(download: Download) -> dict[str, object]:
    return {
        "id": download.id,
        "object": "model.pull",
        "status": download.status,
        "downloaded_bytes": download.downloaded_bytes,
        "total_bytes": download.total_bytes,
        "message": download.text or None,
    }


def _json(shape: object, status: int = 200) -> Response:
    return Response(orjson.dumps(shape), status, media_type="application/json")
