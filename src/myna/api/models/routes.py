"""The Models API in OpenAI's and Anthropic's formats: list, retrieve and delete models; our extensions: load
and unload them."""

from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from starlette.responses import Response

from myna.accounts.principal import Scope
from myna.api.models.anthropic_format import model_page, model_response
from myna.catalog.pool import ModelDetails, ModelPool
from myna.catalog.registry import ModelCard
from myna.core.errors import ModelInUse, ModelNotFound, PermissionDenied, RequestError
from myna.request.auditing import note
from myna.request.auth import require
from myna.request.context import Endpoint, RequestContext
from myna.wire.errors import BACKEND, BACKEND_LINE, Layout, error_response

_READ: Final[Scope] = "model.read"
_REMOVE: Final[Scope] = "api.management.write"


async def list_models(context: RequestContext) -> Response:
    """Every model that the key may use, including aliases, in the order of registration; for Anthropic's
    clients in pages. With `details=true`, an extension, each with what `retrieve_model` adds."""
    require(context.principal, _READ)
    may_use, pool = context.principal.may_use, context.services.pool
    cards = [card for card in pool.cards() if may_use(card.id, card.target)]
    if context.record.speaks_anthropic:
        return model_page(cards, context.request.query_params)
    has_details = context.request.query_params.get("details") == "true"
    models = [_model(card) | (_extension(card, pool.details(card)) if has_details else {}) for card in cards]
    return _json({"object": "list", "data": models})


async def retrieve_model(context: RequestContext) -> Response:
    require(context.principal, _READ)
    try:
        card = context.find_card(_model_id(context))
    except ModelNotFound as exc:
        if context.record.speaks_anthropic:
            raise ModelNotFound(f"model: {context.record.model}") from exc
        return _error(context, _not_found(context), BACKEND)
    if context.record.speaks_anthropic:
        return model_response(card)
    return _json(_model(card) | _extension(card, context.services.pool.details(card)))


async def delete_model(context: RequestContext) -> Response:
    """Unload the model and delete its file. Status 403 for an alias, 409 for a model in use."""
    require(context.principal, _REMOVE)
    try:
        card = context.find_card(_model_id(context))
        await context.services.pool.remove(card.id)
    except ModelNotFound:
        return _error(context, _not_found(context), BACKEND_LINE)
    except (PermissionDenied, ModelInUse) as exc:
        return _error(context, exc, BACKEND_LINE)
    await note(context, "resource.deleted", {"id": card.id, "resource": "model"}, card.id)
    return _json({"id": card.id, "object": "model", "deleted": True}, b"\n")


async def load_model(context: RequestContext) -> Response:
    """Load the model now instead of with its first request; the response comes when it is loaded."""
    return await _changed(context, _load, "model.loaded")


async def unload_model(context: RequestContext) -> Response:
    """Free the model's memory; the next request loads it again. Status 409 for a model in use."""
    return await _changed(context, ModelPool.unload, "model.unloaded")


async def _load(pool: ModelPool, card: ModelCard) -> None:
    async with pool.hold(card):
        pass


async def _changed(
    context: RequestContext, change: Callable[[ModelPool, ModelCard], Awaitable[None]], event: str
) -> Response:
    """The model after the change, which is recorded in the audit log."""
    require(context.principal, _REMOVE)
    pool = context.services.pool
    try:
        card = context.find_card(_model_id(context))
        await change(pool, card)
        await note(context, event, {"id": card.target}, card.target)
        return _json(_model(card) | _extension(card, pool.details(card)))
    except ModelNotFound:
        return _error(context, _not_found(context), BACKEND)
    except ModelInUse as exc:
        return _error(context, exc, BACKEND)


_LOADING: Final = "/v1/organization/models/{model_id:path}"
ENDPOINTS: Final = (
    Endpoint("GET", "/v1/models", list_models, names_organization=False),
    Endpoint("GET", "/v1/models/", list_models, names_organization=False),
    Endpoint("GET", "/v1/models/{model_id:path}", retrieve_model, names_organization=False),
    Endpoint("DELETE", "/v1/models/{model_id:path}", delete_model),
    Endpoint("POST", f"{_LOADING}/load", load_model),
    Endpoint("POST", f"{_LOADING}/unload", unload_model),
)


def _model_id(context: RequestContext) -> str:
    """The rest of the path; the SDKs encode slashes in an id as %2F, others don't."""
    model_id: str = context.request.path_params["model_id"]
    return model_id


def _model(card: ModelCard) -> dict[str, object]:
    return {"id": card.id, "object": "model", "created": card.created, "owned_by": card.owned_by}


def _extension(card: ModelCard, details: ModelDetails) -> dict[str, object]:
    """What is known of the model beyond OpenAI's fields; defaults only where they differ from OpenAI's."""
    known = {
        "alias_of": None if card.target == card.id else card.target,
        "is_adapter": card.adapter == card.id or None,
        "size_bytes": details.num_bytes,
        "context_tokens": details.context_tokens,
        "sampling_defaults": details.sampling.changes() or None,
        "capabilities": details.capabilities or None,
        "engine": details.engine,
        "is_batch_invariant": details.is_batch_invariant,
        "draft": details.draft,
        "problem": None if details.is_loaded else card.notes.problem or None,
    }
    return {"is_loaded": details.is_loaded} | {
        name: value for name, value in known.items() if value is not None
    }


def _not_found(context: RequestContext) -> ModelNotFound:
    """These endpoints have another error text: with single quotes and a param."""
    return ModelNotFound(
        f"The model '{context.record.model}' does not exist", param="model", code="model_not_found"
    )


def _error(context: RequestContext, exc: RequestError, layout: Layout) -> Response:
    context.record.outcome = type(exc).__name__
    return error_response(exc, context.id, layout)


def _json(value: object, end: bytes = b"") -> Response:
    return Response(orjson.dumps(value, option=orjson.OPT_INDENT_2) + end, media_type="application/json")
