"""The composition root: combines services, endpoints and middleware, and runs the server."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from myna.http.body_limit import BodyLimit
from myna.http.middleware import (
    BackendHeaders,
    ErrorResponses,
    Middleware,
    RequestScope,
    RequestTracker,
    wrap,
)
from myna.http.origin import AllowedSources, SourceCheck
from myna.http.record import RequestRecord
from myna.http.root_path import RootPath
from myna.http.router import PathTable
from myna.http.server import DEFAULT_CONNECTIONS, KEEP_ALIVE_S, Server, server_config
from myna.http.tls import Certificate
from myna.request.context import Endpoint, routes
from myna.request.in_process import answer_in_process, find_model
from myna.request.services import Services
from myna.web.routes import site
from myna.wire.errors import UnknownPath, UnknownUrl

# Families of endpoints, each `ENDPOINTS` of its module.
FAMILIES: Final = (
    "myna.api.models.routes",
    "myna.api.models.downloads",
    "myna.api.completions.routes",
    "myna.api.chat.routes",
    "myna.api.embeddings.routes",
    "myna.api.messages.routes",
    "myna.api.responses.routes",
    "myna.api.responses.stored_routes",
    "myna.api.responses.conversation_routes",
    "myna.api.stored.routes",
    "myna.api.files.routes",
    "myna.api.batches.routes",
    "myna.api.moderations.routes",
    "myna.api.usage.routes",
    "myna.api.monitoring.routes",
    "myna.api.organization.routes",
)
_UPLOADS: Final = "/v1/files"
_FORM_BYTES: Final = 64 << 10  # of an upload's form, besides its file
_NO_LIMIT: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Settings of the HTTP side. `hosts` and `origins` as in `origin.Sources`, `python_files` as in
    `web.routes.site`; `keep_alive_s` is how long an idle connection stays open."""

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    max_body_bytes: int = 16 << 20
    max_running: int = 1024
    root_path: str = ""
    trusted_proxies: tuple[str, ...] = ()
    keep_alive_s: float = KEEP_ALIVE_S
    python_files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(slots=True)
class App:
    """The ASGI application, the gate that drains it, and the options, which each request reads: replacing
    them takes effect with the next request. `for_batches` has the same endpoints, for requests that come from
    this process."""

    asgi: ASGIApp
    for_batches: ASGIApp
    tracker: RequestTracker
    options: HttpOptions


def create_app(
    services: Services, options: HttpOptions | None = None, families: Sequence[str] = FAMILIES
) -> App:
    """The whole ASGI application. Closes the services when its lifespan ends."""
    options = options or HttpOptions()
    tracker = RequestTracker(options.max_running)
    services.background_runs.track = tracker.track
    app = App(_unknown_path, _unknown_path, tracker, options)
    endpoints: list[Endpoint] = [endpoint for name in families for endpoint in import_module(name).ENDPOINTS]
    router = PathTable(
        [
            *_probes(services, tracker),
            *routes(endpoints, services),
            *site(
                asks_for_key=services.keys is not None,
                python=options.python_files,
                redeem=services.sign_in_codes.redeem if services.sign_in_codes else lambda code: None,
            ),
        ],
        default=_unknown_path,
        lifespan=partial(_lifespan, services, app),
    )
    counted = partial(RequestScope, on_end=_response_counter(services))
    app.for_batches = wrap(router, [counted, ErrorResponses, tracker.middleware])
    layers: list[Middleware] = [
        *_for_proxies(options),
        counted,
        ErrorResponses,
        partial(SourceCheck, sources=partial(_allowed_sources, app, asks_for_key=services.keys is not None)),
        BackendHeaders,
        tracker.middleware,
        partial(BodyLimit, max_bytes=partial(_max_body_bytes, app, services)),
    ]
    app.asgi = wrap(router, layers)
    return app


def _max_body_bytes(app: App, services: Services, scope: Scope) -> int:
    """Uploads are streamed to disk; every other body is held in memory."""
    if scope["method"] == "POST" and scope["path"] == _UPLOADS:
        return (services.files.limits.max_file_bytes or _NO_LIMIT) + _FORM_BYTES
    return app.options.max_body_bytes


def _allowed_sources(app: App, *, asks_for_key: bool) -> AllowedSources:
    return AllowedSources(app.options.hosts, app.options.origins, asks_for_key)


def _for_proxies(options: HttpOptions) -> list[Middleware]:
    layers: list[Middleware] = []
    if options.trusted_proxies:
        layers.append(partial(ProxyHeadersMiddleware, trusted_hosts=list(options.trusted_proxies)))  # type: ignore[arg-type]
    if options.root_path:
        layers.append(partial(RootPath, root=options.root_path))
    return layers


async def serve(
    app: App,
    listener: socket.socket,
    *,
    drain_s: float,
    on_start: Callable[["Server"], None],
    certificate: Certificate | None = None,
    most_connections: int = DEFAULT_CONNECTIONS,
) -> None:
    """Serve on a bound socket until SIGINT, SIGTERM or `Server.stop`; returns when the drain is over."""
    config = server_config(
        app.asgi, certificate, keep_alive_s=app.options.keep_alive_s, most_connections=most_connections
    )
    server = Server(config, app.tracker, drain_s=drain_s, on_start=lambda: on_start(server))
    await server.serve([listener])


@contextlib.asynccontextmanager
async def _lifespan(services: Services, app: App, router: object) -> AsyncIterator[None]:
    loop, closing = asyncio.get_running_loop(), ThreadPoolExecutor(1, thread_name_prefix="closing")
    # Closed in reverse order. An error doesn't prevent the others from being closed.
    async with contextlib.AsyncExitStack() as stack:
        for threads in (closing, services.text_threads):
            stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        stack.callback(services.database_threads.close)
        if services.ledger is not None:
            stack.push_async_callback(loop.run_in_executor, closing, services.ledger.stop)
        for observer in services.usage_sinks.observers:
            stack.push_async_callback(loop.run_in_executor, closing, observer.close)
        stack.push_async_callback(services.store_writer.aclose)
        services.background_runs.start_cleaning()
        stack.push_async_callback(services.background_runs.aclose)
        services.files.start()
        stack.push_async_callback(services.files.aclose)
        services.batches.start(
            partial(answer_in_process, app.for_batches, services), partial(find_model, services)
        )
        if services.downloads is not None:
            stack.push_async_callback(services.downloads.aclose)
        if services.retention is not None:
            services.retention.start()
            stack.push_async_callback(services.retention.aclose)
        stack.push_async_callback(services.accounts.aclose)
        stack.push_async_callback(services.limiter.aclose)
        stack.push_async_callback(services.pool.aclose)
        stack.push_async_callback(services.batches.aclose)
        yield


def _response_counter(services: Services) -> Callable[[RequestRecord], None]:
    """A callback that counts every HTTP response."""
    instruments = services.instruments
    if instruments is None:
        return lambda record: None
    return lambda record: instruments.answered(record.status)


def _probes(services: Services, tracker: RequestTracker) -> list[BaseRoute]:
    async def health(request: Request) -> Response:
        """The process is up and its event loop is running."""
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        """A model is loaded and ready, and new requests are accepted."""
        is_ready = services.pool.is_ready and not tracker.is_draining
        waiting = "unresponsive" if services.pool.running() else "loading"
        status = "ready" if is_ready else "draining" if tracker.is_draining else waiting
        return JSONResponse({"status": status}, 200 if is_ready else 503)

    return [Route("/health", health), Route("/ready", ready)]


async def _unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"no {scope['type']} connections are served")
    method, path = scope["method"], scope["path"]
    if path.startswith("/v1/"):
        raise UnknownPath(f"Invalid URL ({method} {path})")
    raise UnknownUrl(
        f"Unknown request URL: {method} {path}. Please check the URL for typos; the paths of the API "
        "begin with /v1/."
    )
