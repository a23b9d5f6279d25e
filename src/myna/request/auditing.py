"""The audit log for what administrators do to models and files; keys and limits have their own entries."""

from collections.abc import Mapping

from myna.request.context import RequestContext


async def note(context: RequestContext, event: str, details: Mapping[str, object], subject: str) -> None:
    """Record an act of the request's key."""
    administration = context.services.accounts.administration
    await context.services.database_threads.run(administration.note, context.actor, event, details, subject)
