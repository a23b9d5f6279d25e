"""Loads the model that a server starts with, and says when it is ready."""

import asyncio
import gc
from collections.abc import Callable

from myna.catalog.pool import ModelPool, ServedModel
from myna.cli.banner import Kind
from myna.cli.console import note
from myna.cli.readiness import notify_systemd_ready
from myna.core.translatable import N_
from myna.http.server import Server


async def load_first(pool: ModelPool, model: str) -> Kind:
    """Load the default model."""
    note(N_("Loading {model} …", model=model))
    async with pool.hold(pool.card(model)) as served:
        return _kind(served)


async def announce(first: asyncio.Task[Kind], server: Server, on_ready: Callable[[Kind], None]) -> None:
    """Say that the server, which already answers /health, is ready, once the default model is loaded. If that
    fails there is nothing to serve: the server stops, and the error is raised to the awaiting task."""
    try:
        kind = await first
        gc.freeze()  # else each full collection would look at all that was imported, for some 100 ms
        gc.enable()
        on_ready(kind)
        notify_systemd_ready()
    except BaseException:
        server.stop()
        raise


def _kind(served: ServedModel) -> Kind:
    if served.loaded.embedder is not None:
        return Kind.EMBEDDING
    is_chat = served.relay is not None or served.renderer.has_chat_template
    return Kind.CHAT if is_chat else Kind.COMPLETION
