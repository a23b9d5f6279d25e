"""Relays requests to other OpenAI-compatible servers, and tracks which of them serve a model."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from myna.backends.remote.balancing import Balancer
from myna.backends.remote.findings import upstream_findings
from myna.backends.remote.section import read_section
from myna.backends.remote.stream import RelayedStream
from myna.backends.remote.upstream import Upstream
from myna.core.backend import BackendOptions, Candidate, LoadedModel, ModelSize, ModelSpec
from myna.core.errors import ConfigurationError, Overloaded, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from myna.core.finding import Findings
from myna.core.generator import ModelInfo
from myna.core.ledger import Price
from myna.core.relay import RelayRequest
from myna.core.stats import SchedulerStats
from myna.core.supervision import SupervisedTask

_LIST_AGAIN_S: Final = 60.0
_TRY_AGAIN_S: Final = 5.0
_ASK_ANOTHER: Final = frozenset({404, 429})  # errors that another upstream may not have

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A `core.backend.ModelSpec`, identified by its id among the upstreams' models."""

    id: str
    owned_by: str
    created: int

    @property
    def is_relayed(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Needs no memory here; nothing is sent before the first request."""

    balancer: Balancer
    model: str

    @property
    def size(self) -> ModelSize | None:
        return None

    async def load(self, kv_bytes: int) -> LoadedModel:
        return LoadedModel(relay=RemoteRelay(self.balancer, self.model))


class RemoteRelay:
    """A `core.relay.Relay`: one model, on all upstreams that currently serve it."""

    def __init__(self, balancer: Balancer, model: str) -> None:
        self._balancer = balancer
        self._model = model

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("remote", "", 0, 0, 0, 0, "")

    @property
    def is_ready(self) -> bool:
        return any(not upstream.cooldown.is_active for upstream in self._balancer.serving(self._model))

    @property
    def last_stats(self) -> SchedulerStats | None:
        return None

    async def open(self, request: RelayRequest) -> RelayedStream:
        """Open the request on the least busy upstream, or on the next one if it fails before it responds.
        After a timeout no other upstream is tried, since the client has waited as long as the settings
        allow."""
        tried: list[Upstream] = []
        failure: Exception = UpstreamFailed(f"No upstream serves the model {self._model!r} now.")
        while (upstream := await self._balancer.choose(self._model, tried)) is not None:
            tried.append(upstream)
            try:
                return await upstream.ask(request, self._model)
            except UpstreamTimeout:
                raise
            except (UpstreamFailed, Overloaded) as exc:
                failure = exc
            except UpstreamRefused as exc:
                if exc.status not in _ASK_ANOTHER:
                    raise
                failure = exc
            _log.warning("%s", failure)
        raise failure

    async def aclose(self) -> None:
        """Nothing to do: the backend closes its upstreams."""


class RemoteBackend:
    """A `core.backend.Backend`. `clock` measures how long failed upstreams are skipped."""

    def __init__(self, options: BackendOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.balancer: Final = Balancer()
        self._retired: list[Upstream] = []
        self._announced: tuple[RemoteModel, ...] = ()
        self._listing = SupervisedTask("list the models of upstreams", self._keep_listing)
        self._is_stale = asyncio.Event()
        self.change(options)

    def accepts(self, model: ModelSpec) -> bool:
        return isinstance(model, RemoteModel)

    async def prepare(self, model: ModelSpec) -> Candidate:
        return _Candidate(self.balancer, model.id)

    def check(self) -> None:
        """Nothing to check: whether upstreams can be reached is only known while running."""

    def findings(self) -> Findings:
        return upstream_findings([(one.name, one.config) for one in self.balancer.upstreams])

    def announced(self) -> tuple[ModelSpec, ...]:
        return self._announced

    def may_announce(self, model: str) -> bool:
        return any(upstream.may_serve(model) for upstream in self.balancer.upstreams)

    def embeds(self, model: ModelSpec) -> bool:
        return False  # upstreams don't say

    def price(self, model: str) -> Price | None:
        prices = (one.config.token_price for one in self.balancer.upstreams if one.may_serve(model))
        return next((price for price in prices if price is not None), None)

    async def start(self, first: ModelSpec | None = None) -> None:
        self._listing.start()

    def change(self, options: BackendOptions) -> None:
        configs = read_section(options.section)
        before = {upstream.name: upstream for upstream in self.balancer.upstreams}
        now = []
        for name, config in configs.items():
            same = before.get(name)
            if same is None or same.config != config:
                same = Upstream(name, config, self.balancer.wake, self._clock)
            now.append(same)
        self._retired += [upstream for upstream in before.values() if upstream not in now]
        self.balancer.upstreams, self.balancer.max_queue = tuple(now), options.max_queue
        self._is_stale.set()
        self.announce()

    async def aclose(self) -> None:
        await self._listing.aclose()
        for upstream in (*self.balancer.upstreams, *self._retired):
            await upstream.aclose()

    async def _keep_listing(self) -> None:
        while True:
            self._is_stale.clear()
            upstreams = self.balancer.upstreams
            are_listed = await asyncio.gather(*(_list(upstream, self.announce) for upstream in upstreams))
            await self._close_retired()
            try:
                async with asyncio.timeout(_LIST_AGAIN_S if all(are_listed) else _TRY_AGAIN_S):
                    await self._is_stale.wait()
            except TimeoutError:
                pass

    async def _close_retired(self) -> None:
        for upstream in [one for one in self._retired if not one.num_running]:
            self._retired.remove(upstream)
            await upstream.aclose()

    def announce(self) -> None:
        models: dict[str, RemoteModel] = {}
        for upstream in self.balancer.upstreams:
            for model, created in upstream.models.items():
                models.setdefault(model, RemoteModel(model, upstream.name, created))
        if tuple(models.values()) != self._announced:
            self._announced = tuple(models.values())


async def _list(upstream: Upstream, announce: Callable[[], None]) -> bool:
    try:
        await upstream.list_models()
    except (UpstreamFailed, ConfigurationError) as exc:
        _log.warning("The models of the upstream %r can't be listed: %s", upstream.name, exc.message)
        return False
    announce()
    return True
