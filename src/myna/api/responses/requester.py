"""Whose request it is, as its generation needs it."""

from myna.api.responses.prepare import RequesterInfo
from myna.generation.tenant import tenant_of
from myna.request.context import RequestContext


def requester_of(context: RequestContext) -> RequesterInfo:
    """Whose request it is, and what limits its answer."""
    services = context.services
    return RequesterInfo(
        tenant_of(context.principal),
        context.id,
        services.answer_limits,
        context.record.hint,
        services.sealer,
    )
