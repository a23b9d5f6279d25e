"""Replicas of the fake engine in this process's children, reached without Ray."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from myna.core.errors import EngineDead
from myna.core.requests import ModelRequest
from myna.fleet.front import FleetConnection
from myna.fleet.messages import Description
from myna.fleet.replica import ModelFiles, Replica
from myna.fleet.replicas import NotAnswering
from myna.fleet.routing import Rendezvous, away, rank
from myna.scheduling.admission import QueueLimits
from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec
from myna.workers.process import WorkerProcess
from myna.workers.watchdog import ProgressLimits

SPEC = WorkerSpec("fake", "fake")


async def until(condition: Callable[[], bool]) -> None:
    """Let everything else run until that is true."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


class _Chosen:
    def __init__(self, name: str, replica: Replica, requests: list[ModelRequest]) -> None:
        self.replica, self.node = name, replica.description.node
        self._replica = replica
        self._requests = requests

    async def run(self, server: str, number: int, request: ModelRequest, session: str) -> None:
        self._requests.append(request)
        await self._replica.run(server, number, request, session)


class _Stream:
    """A link's stream, which can be made silent."""

    def __init__(self, items: AsyncGenerator[bytes, None]) -> None:
        self._items = items
        self._task: asyncio.Task[bytes] | None = None
        self.is_cancelled = False
        self.is_silent = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.is_cancelled:
            raise StopAsyncIteration
        self._task = asyncio.ensure_future(anext(self._items))
        try:
            item = await self._task
        except asyncio.CancelledError:
            if self.is_cancelled:
                await self._items.aclose()
                raise StopAsyncIteration from None
            raise
        if self.is_silent:
            await asyncio.Event().wait()
        return item

    def cancel(self) -> None:
        self.is_cancelled = True
        if self._task is not None:
            self._task.cancel()


class LocalReplicas:
    """A `front.Replicas`. `replicas`, `others_load` (how busy they seem besides) and `hung` may change at any
    time; `chosen` are those that were, `requests` what was sent to them."""

    def __init__(self) -> None:
        self.replicas: dict[str, Replica] = {}
        self.streams: dict[str, _Stream] = {}
        self.changed = asyncio.Event()
        self.chosen: list[str] = []
        self.requests: list[ModelRequest] = []
        self.others_load: dict[str, int] = {}
        self.hung: set[str] = set()

    async def add(
        self,
        name: str,
        *,
        weights: str = "same",
        is_batch_invariant: bool = True,
        spec: WorkerSpec = SPEC,
        node: str = "here",
    ) -> Replica:
        files = ModelFiles(weights, is_batch_invariant)
        replica = Replica(partial(WorkerProcess, spec, ProgressLimits()), name, node, files)
        await replica.start()
        self.replicas[name] = replica
        self.changed.set()
        return replica

    async def remove(self, name: str) -> None:
        await self.replicas.pop(name).aclose()

    async def aclose(self) -> None:
        for name in list(self.replicas):
            await self.remove(name)

    @asynccontextmanager
    async def choose(self, session: str, avoided: Sequence[str], last_replica: str) -> AsyncIterator[_Chosen]:
        while not self.replicas:
            self.changed.clear()
            await self.changed.wait()
        load = {
            name: replica.num_running + self.others_load.get(name, 0)
            for name, replica in self.replicas.items()
        }
        nodes = {name: replica.description.node for name, replica in self.replicas.items()}
        not_now = away(nodes, avoided)
        name = rank(Rendezvous(load), session, load.__getitem__, sum(load.values()), not_now, last_replica)[0]
        self.chosen.append(name)
        if name in self.hung:
            raise NotAnswering(name, self.replicas[name].description.node)
        yield _Chosen(name, self.replicas[name], self.requests)

    def link(self, replica: str, server: str) -> _Stream:
        if replica not in self.replicas:
            raise EngineDead("it is gone")
        stream = self.streams[replica] = _Stream(self.replicas[replica].link(server))
        return stream

    async def describe(self) -> Description:
        return next(iter(self.replicas.values())).description

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return await next(iter(self.replicas.values())).tokenize(text, parse_special=parse_special)


@asynccontextmanager
async def fleet_of(
    *names: str, is_batch_invariant: bool = True, nodes: Sequence[str] = ()
) -> AsyncIterator[tuple[LocalReplicas, WorkerClient]]:
    """So many replicas, at those addresses if it matters, and a client in front of them."""
    replicas = LocalReplicas()
    client = WorkerClient(SPEC, QueueLimits(), connect=partial(FleetConnection, "m", replicas))
    try:
        for name, node in zip(names, nodes or ("here",) * len(names), strict=True):
            await replicas.add(name, is_batch_invariant=is_batch_invariant, node=node)
        await client.start()
        yield replicas, client
    finally:
        with suppress(EngineDead):
            await client.aclose()
        await replicas.aclose()
