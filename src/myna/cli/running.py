"""Puts a server together from settings and runs it until a signal ends it."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from myna.accounts.keys import KeyRing, check_key
from myna.accounts.sealing import Sealer
from myna.accounts.sign_in_codes import SignInCodes
from myna.app import App, HttpOptions, create_app, serve
from myna.backends.table import Backends
from myna.batches.service import Batches
from myna.catalog.downloads import Downloads
from myna.catalog.manager import PoolLimits
from myna.catalog.pool import ModelPool
from myna.catalog.pyodide import PYODIDE
from myna.catalog.store import ModelStore
from myna.cli.administration import server_secret
from myna.cli.backends import backend_options, backend_sections, backends_of
from myna.cli.banner import Banner, Kind, base_url
from myna.cli.first_model import announce, load_first
from myna.cli.key import has_no_key_yet, server_keys
from myna.cli.local_servers import recorded
from myna.cli.log_thread import ThreadedLog
from myna.cli.machine import note_better_model, this_machine
from myna.cli.reloading import Reloader
from myna.cli.served_models import FAKE, ServedModels, check_sizes, choose_models
from myna.core.errors import ConfigurationError, OperatorError
from myna.core.installation import install_command
from myna.core.ledger import Price
from myna.core.translatable import N_
from myna.generation.budgets import AnswerLimits
from myna.http.access_log import JsonLines
from myna.http.connection_limit import MIN_DESCRIPTORS, max_connections, raise_descriptor_limit
from myna.http.origin import hosts_for, is_loopback
from myna.http.server import Server, bind
from myna.http.tls import Certificate
from myna.request.background import BackgroundRuns
from myna.request.limiter import Limiter
from myna.request.live_accounts import LiveAccounts
from myna.request.services import ORGANIZATION, Services
from myna.request.spending import LedgerSpending
from myna.settings import Settings
from myna.stores.database_threads import DatabaseThreads
from myna.stores.files import FileLimits, Files
from myna.stores.registry import Stores, open_stores
from myna.stores.retention import Retention
from myna.stores.store_quota import quota_of
from myna.stores.store_writer import StoreWriter, WriterLimits
from myna.usage.ledger import Ledger
from myna.usage.log import NullUsageLog
from myna.usage.metrics import Instruments
from myna.usage.recorder import RequestObserver, UsageSinks


def run_server(read: Callable[[], Settings]) -> None:
    """Returns when a signal has stopped the server. `read` is called again at every SIGHUP. Raises
    `OperatorError` for what prevents the start."""
    settings = read()
    check_settings(settings)
    num_descriptors = check_descriptors()
    with open_listener(settings) as listener:
        served = choose_models(settings)
        start_logging(settings)
        check_sizes(served, settings.models_bytes)
        note_better_model(settings)
        gc.disable()  # until the first model is loaded: what is imported and read until then stays
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(settings, served, listener, read, num_descriptors))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, if it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def check_settings(settings: Settings) -> None:
    """Check what no single setting shows to be wrong. Raises `ConfigurationError`."""
    if settings.no_auth and not is_loopback(settings.host):
        raise ConfigurationError(
            N_(
                "--no-auth would open {host} to everyone who can reach this machine; use it with "
                "--host 127.0.0.1, or keep the key.",
                host=settings.host,
            )
        )
    if settings.api_key:
        check_key(settings.api_key, N_("The API key"))
    backends_of(settings).check()
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigurationError(N_("TLS needs both tls_cert and tls_key; set the other one too."))
    read_certificate(settings)


def check_descriptors() -> int:
    """The limit of file descriptors, raised as far as possible. Raises `OperatorError` if it is too low."""
    num_descriptors = raise_descriptor_limit()
    if num_descriptors < MIN_DESCRIPTORS:
        raise OperatorError(
            N_(
                "This process may open only {number} files and connections, and the server needs at least "
                "{minimum}. Raise the limit with `ulimit -n 1024`, or with LimitNOFILE in a systemd unit.",
                number=num_descriptors,
                minimum=MIN_DESCRIPTORS,
            )
        )
    return num_descriptors


def read_certificate(settings: Settings) -> Certificate | None:
    """The certificate for HTTPS, if one is set. Raises `ConfigurationError`."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_cert, settings.tls_key)


def is_for_this_machine(settings: Settings) -> bool:
    """Whether only programs on this machine reach the server: no setting says that a proxy serves others."""
    has_proxy = bool(settings.trusted_proxies or settings.root_path or settings.allowed_hosts)
    return is_loopback(settings.host) and not has_proxy


def open_listener(settings: Settings) -> socket.socket:
    """The bound socket, opened first, so that a used port fails before anything is downloaded or loaded."""
    try:
        return bind(settings.host, settings.port)
    except OSError as exc:
        where = f"{settings.host}:{settings.port}"
        if exc.errno == errno.EADDRINUSE:
            raise OperatorError(
                N_(
                    "Something is already listening on {where}; stop it, or choose another port with "
                    "--port {port} (0: any free one).",
                    where=where,
                    port=settings.port + 1,
                )
            ) from exc
        if exc.errno == errno.EACCES:
            raise OperatorError(
                N_("You don't have permission to listen on {where}; choose a port above 1023.", where=where)
            ) from exc
        raise OperatorError(
            N_("Can't listen on {where}: {reason}.", where=where, reason=exc.strerror or exc)
        ) from exc


def start_logging(settings: Settings) -> None:
    handler = logging.StreamHandler()
    if settings.log_format == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[ThreadedLog(handler)])
    # Neither format has them, and each line would look them up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    set_log_level(settings.log_level)


def set_log_level(level: str) -> None:
    logging.getLogger("myna").setLevel(level.upper())  # libraries log at WARNING only


def make_pool(settings: Settings, served: ServedModels, backends: Backends) -> ModelPool:
    return ModelPool(
        served.look(backends.announced, backends.embeds),
        backends.prepare,
        delete_files=served.forget,
        limits=pool_limits(settings, served),
    )


def pool_limits(settings: Settings, served: ServedModels) -> PoolLimits:
    return PoolLimits(
        models_bytes=settings.models_bytes,
        memory_bytes=settings.memory_bytes,
        context_tokens=settings.context_tokens,
        idle_s=settings.idle_s,
        keep=served.default,
        max_waiting=settings.max_queue,
    )


@dataclass(frozen=True, slots=True)
class _Prices:
    """The owner's own, then those in the backends' settings."""

    own: Mapping[str, Price]
    backends: Backends

    def get(self, model: str, /) -> Price | None:
        return self.own.get(model) or self.backends.price(model)


def start_ledger(settings: Settings, stores: Stores, backends: Backends) -> Ledger | None:
    """The ledger, with its thread running. Raises `ConfigurationError`."""
    if not settings.usage:
        return None
    prices = {price.model: Price(price.prompt, price.cached, price.completion) for price in settings.prices}
    ledger = Ledger(
        stores.ledger(),
        settings.home / "journal",
        settings.database_url,
        prices=_Prices(prices, backends),
        batch_price=settings.batch_price,
        keep_days=settings.usage_days,
        open_usage=stores.open_usage(),
    )
    ledger.start()
    return ledger


def observers(settings: Settings, instruments: Instruments | None) -> tuple[RequestObserver, ...]:
    """The observers of every call of a model. Raises `ConfigurationError`."""
    found: list[RequestObserver] = [] if instruments is None else [instruments]
    if settings.traces:
        try:
            from myna.usage.tracing import Tracing
        except ImportError as exc:
            raise ConfigurationError(
                N_(
                    "Traces need OpenTelemetry ({reason}). Install it with: {command}",
                    command=install_command("otel"),
                    reason=exc,
                )
            ) from exc
        found.append(Tracing.to(settings.traces))
    return tuple(found)


def downloads_of(settings: Settings) -> Downloads:
    return Downloads(partial(ModelStore.at, settings.home), partial(this_machine, settings), settings.mirror)


def http_options(settings: Settings) -> HttpOptions:
    return HttpOptions(
        hosts=hosts_for(settings.host, settings.allowed_hosts, asks_for_key=not settings.no_auth),
        origins=frozenset(settings.cors_origins),
        max_body_bytes=settings.max_body_bytes,
        root_path=settings.root_path,
        trusted_proxies=settings.trusted_proxies,
        keep_alive_s=settings.keep_alive_s,
        python_files=PYODIDE.paths(settings.home),
    )


def make_services(settings: Settings, pool: ModelPool, backends: Backends, keys: tuple[str, ...]) -> Services:
    """What the endpoints use; `keys` are the owner's, none if no key is needed. Starts the ledger's thread.
    Raises `ConfigurationError`."""
    stores = open_stores(settings.database_url)
    ledger = start_ledger(settings, stores, backends)
    instruments = Instruments() if settings.metrics else None
    secret = server_secret(settings)
    accounts = LiveAccounts(stores.accounts(), secret)
    threads, completions, responses = DatabaseThreads(), stores.completions(), stores.responses()
    background = stores.background()
    limits = FileLimits(settings.max_file_bytes, settings.max_files_bytes)
    files = Files(stores.files(), settings.files_folder, threads, limits)
    spending = LedgerSpending(ledger.store, threads) if ledger else None
    return Services(
        pool=pool,
        keys=KeyRing(keys) if keys else None,
        sign_in_codes=SignInCodes(keys[0]) if keys else None,
        usage_sinks=UsageSinks(ledger or NullUsageLog(), observers(settings, instruments)),
        ledger=ledger,
        instruments=instruments,
        is_loopback_only=is_for_this_machine(settings),
        answer_limits=AnswerLimits(settings.max_answer_tokens, settings.strict_max_tokens),
        ignores_unknown=settings.unknown_parameters == "ignore",
        text_threads=ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="text"),
        database_threads=threads,
        completions=completions,
        responses=responses,
        conversations=stores.conversations(),
        background=background,
        background_runs=BackgroundRuns(background, threads),
        store_writer=StoreWriter(
            [completions, responses], threads, WriterLimits(quota=quota_of(settings.max_stored_bytes))
        ),
        downloads=None if settings.engine == FAKE else downloads_of(settings),
        retention=Retention([completions, responses], threads, settings.stored_days),
        accounts=accounts,
        sealer=Sealer(secret),
        limiter=Limiter(stores.counters(), accounts, spending, ORGANIZATION),
        files=files,
        batches=Batches(stores.batches(), files, threads, settings.batch_requests),
    )


async def _run(
    settings: Settings,
    served: ServedModels,
    listener: socket.socket,
    read: Callable[[], Settings],
    num_descriptors: int,
) -> None:
    backends = backends_of(settings)
    pool = make_pool(settings, served, backends)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(backends.aclose)
        await backends.start(served.first)
        stack.push_async_callback(pool.aclose)
        first = asyncio.create_task(load_first(pool, served.default)) if served.first else None
        if first is not None:
            stack.push_async_callback(_end, first)
        is_new_key = has_no_key_yet(settings)
        keys = () if settings.no_auth else server_keys(settings)
        # In a thread: this imports most of the server, and meanwhile the model loads.
        services = await asyncio.to_thread(make_services, settings, pool, backends, keys)
        app = await asyncio.to_thread(create_app, services, http_options(settings))
        url = base_url(*_address(listener), settings)
        banner = Banner(url, served.default, keys[0] if keys else "", is_new_key=is_new_key)
        await _serve(
            _Composed(settings, served, backends, pool, app, banner, first), listener, read, num_descriptors
        )


@dataclass(frozen=True, slots=True)
class _Composed:
    """A server before it listens. `first` loads the default model, if that has begun."""

    settings: Settings
    served: ServedModels
    backends: Backends
    pool: ModelPool
    app: App
    banner: Banner
    first: asyncio.Task[Kind] | None


async def _serve(
    composed: _Composed, listener: socket.socket, read: Callable[[], Settings], num_descriptors: int
) -> None:
    settings, pool, app = composed.settings, composed.pool, composed.app
    certificate = read_certificate(settings)
    loading: list[asyncio.Task[None]] = []
    servers: list[Server] = []

    def apply(settings: Settings, served: ServedModels) -> None:
        if certificate is not None:
            certificate.reload()
        backends = composed.backends
        backends.change(backend_options(settings), backend_sections(settings))
        pool.reconfigure(served.look(backends.announced, backends.embeds), pool_limits(settings, served))
        app.options = http_options(settings)
        set_log_level(settings.log_level)
        for server in servers:
            server.drain_s = settings.drain_s

    def on_start(server: Server) -> None:
        servers.append(server)
        first = composed.first or asyncio.create_task(load_first(pool, composed.served.default))
        loading.append(asyncio.create_task(announce(first, server, on_ready)))

    def on_ready(kind: Kind) -> None:
        composed.banner.show(kind)
        record.enter_context(recorded(settings.home, composed.banner.url))

    with Reloader(settings, read, apply).on_hangup(), contextlib.ExitStack() as record:
        await serve(
            app,
            listener,
            drain_s=settings.drain_s,
            on_start=on_start,
            certificate=certificate,
            most_connections=max_connections(num_descriptors),
        )
    await _cancel(loading)


async def _end(task: asyncio.Task[Kind]) -> None:
    """Cancel it, when its result is not needed any more."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel the tasks; raises the error of one that had failed."""
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _address(listener: socket.socket) -> tuple[str, int]:
    host, port, *_ = listener.getsockname()
    return str(host), int(port)
