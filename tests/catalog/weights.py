"""Models of given sizes for tests of the pool: loads that succeed, fail or wait as the test says."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from myna.backends.worker.fake_renderer import fake_renderer
from myna.catalog.manager import PoolLimits
from myna.catalog.memory import Memory
from myna.catalog.memory_planner import WORKER_BYTES
from myna.catalog.pool import ModelPool, ServedModel
from myna.catalog.registry import Listing, ModelCard
from myna.core.backend import Candidate, LoadedModel, LocalModel, ModelSize, ModelSpec
from myna.core.errors import ModelLoadFailed
from myna.core.generator import EventStream, ModelInfo
from myna.core.requests import GenerationRequest
from myna.core.stats import SchedulerStats

PROMPTING = fake_renderer(8)
MB = 1 << 20
AMPLE = Memory(64 << 30, 60 << 30)


def local(model: str, source: str = "catalog", version: int = 7) -> LocalModel:
    return LocalModel(model, Path(f"{model}.gguf"), "me", version, 1, source)


@dataclass(eq=False)
class Running:
    """A generator that knows whether it still runs."""

    id: str
    is_ready: bool = True
    last_stats: SchedulerStats | None = None
    has_died: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_closed(self) -> bool:
        return self.closed.is_set()

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("fake", "none", 2, 8, 0, 1, "f")

    async def generate(self, request: GenerationRequest) -> EventStream:
        raise NotImplementedError

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return [len(text)]

    async def aclose(self) -> None:
        self.closed.set()


@dataclass
class Yard:
    """The pool's `prepare` and `forget`. A model takes `sizes[id]` in all (its worker's own memory included),
    which must be more than that; those in `elsewhere` take nothing. Ids in `unsound` fail when read, those
    in `broken` when loaded; `gate` cleared makes loads wait."""

    sizes: dict[str, int] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    unsound: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    running: list[Running] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    num_loading: int = 0
    num_loads: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def __call__(self, model: ModelSpec) -> Candidate:
        await asyncio.sleep(0)
        if model.id in self.unsound:
            raise ModelLoadFailed(f"{model.id} is not a model")
        num_bytes = self.sizes.get(model.id, WORKER_BYTES) - WORKER_BYTES
        return _Candidate(self, model, None if model.id in self.elsewhere else ModelSize(num_bytes, 0, 0))

    def forget(self, file: LocalModel) -> None:
        self.forgotten.append(file.id)

    @property
    def up(self) -> list[str]:
        return [running.id for running in self.running if not running.is_closed]


@dataclass
class _Candidate:
    yard: Yard
    model: ModelSpec
    size: ModelSize | None

    async def load(self, kv_bytes: int) -> LoadedModel:
        self.yard.num_loading += 1
        self.yard.num_loads += 1
        try:
            await self.yard.gate.wait()
        finally:
            self.yard.num_loading -= 1
        if self.model.id in self.yard.broken:
            raise ModelLoadFailed(f"{self.model.id} is broken")
        running = Running(self.model.id)
        self.yard.running.append(running)
        return LoadedModel(running, PROMPTING, is_dead=lambda: running.has_died)


class Looking:
    """A listing that the test may change."""

    def __init__(self, files: Iterable[ModelSpec], aliases: Iterable[ModelCard] = ()) -> None:
        self.next: Listing | None = Listing.of(files, aliases)

    def __call__(self) -> Listing | None:
        listing, self.next = self.next, None
        return listing


def pool_of(
    yard: Yard, *models: str, memory: Memory = AMPLE, idle_s: float = 0.0, models_bytes: int = 0
) -> ModelPool:
    """A pool of models from a catalog, with limits."""
    return ModelPool(
        Looking([local(model) for model in models]),
        yard,
        delete_files=yard.forget,
        limits=PoolLimits(models_bytes, idle_s=idle_s, keep=models[0]),
        memory=lambda: memory,
    )


class Holder:
    """Asks for a model, and holds it until released."""

    def __init__(self, pool: ModelPool, model: str) -> None:
        self._pool = pool
        self._stack = AsyncExitStack()
        self.model = model
        self.task = asyncio.get_running_loop().create_task(self._hold())

    async def _hold(self) -> ServedModel:
        return await self._stack.enter_async_context(self._pool.hold(self._pool.card(self.model)))

    async def served(self) -> ServedModel:
        """Soon, or the test fails."""
        async with asyncio.timeout(30):
            return await self.task

    @property
    def has_it(self) -> bool:
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None

    async def let_go(self) -> None:
        """Or give up waiting."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self._stack.aclose()


async def settle() -> None:
    """Until everything that needs no one from outside has happened."""
    for _ in range(30):
        await asyncio.sleep(0)
