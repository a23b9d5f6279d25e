"""Stand-ins for a model and a pool: events as the test says, every call of `aclose` and `release` seen."""

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from myna.accounts.keys import KeyRing
from myna.accounts.secret import Secret
from myna.backends.worker.fake_renderer import fake_renderer
from myna.batches.service import Batches
from myna.catalog.pool import ModelPool
from myna.catalog.registry import ModelCard, ModelRegistry, PollListing
from myna.core.backend import Candidate, LoadedModel, LocalModel, ModelSize, ModelSpec, Prepare
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.core.generator import Generator, ModelInfo
from myna.core.ledger import UsageRow
from myna.core.renderer import Renderer
from myna.core.requests import GenerationRequest
from myna.core.sampling_defaults import NO_DEFAULTS, SamplingDefaults
from myna.core.stats import SchedulerStats
from myna.core.stored import CompletionStore
from myna.core.stored_responses import ResponseStore
from myna.decoding.grammar import check
from myna.request.background import BackgroundRuns
from myna.request.limiter import Limiter
from myna.request.live_accounts import LiveAccounts
from myna.request.services import Services
from myna.scheduling.grammar_text import compile_constraint
from myna.stores.database_threads import DatabaseThreads
from myna.stores.files import Files
from myna.stores.memory_accounts import MemoryAccounts
from myna.stores.memory_counters import MemoryCounters
from myna.stores.memory_stores import MemoryStores
from myna.stores.registry import Stores
from myna.stores.store_writer import StoreWriter, WriterLimits
from myna.usage.log import NullUsageEntry, UsageEntry
from myna.usage.recorder import UsageSinks

KEY = "sk-test-0123456789abcdef"
_FILES = Path(tempfile.mkdtemp(prefix="myna-test-files-"))
atexit.register(shutil.rmtree, _FILES, ignore_errors=True)
Step = Event | Exception | asyncio.Event

INFO = ModelInfo("scripted", "none", 256, 4096, 65536, 64, "fp_0123456789")


def words(*texts: str) -> list[Step]:
    """The events of one choice that says these words."""
    steps: list[Step] = [PromptDone(3, 1)]
    steps += [TextDelta(0, text, 1) for text in texts]
    return [*steps, ChoiceDone(0, "stop", 1, len(texts) + 1), Done(len(texts) + 1)]


class ScriptedStream:
    """Plays its steps: events are yielded, errors raised, asyncio events waited for."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = list(steps)
        self.num_closed = 0
        self.is_finished = False

    def __aiter__(self) -> "ScriptedStream":
        return self

    @property
    def num_left(self) -> int:
        """Steps that nobody has read yet."""
        return len(self._steps)

    def get_nowait(self) -> Event | None:
        if not self._steps or isinstance(self._steps[0], asyncio.Event):
            return None
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        assert not isinstance(step, asyncio.Event)
        return step

    async def __anext__(self) -> Event:
        while (event := self.get_nowait()) is None:
            if not self._steps:
                self.is_finished = True
                raise StopAsyncIteration
            step = self._steps.pop(0)
            assert isinstance(step, asyncio.Event)
            await step.wait()
        return event

    async def aclose(self) -> None:
        self.num_closed += 1


@dataclass
class ScriptedGenerator:
    """Each request takes the next script; an error there refuses the request."""

    scripts: list[Sequence[Step] | Exception]
    info: ModelInfo = INFO
    is_ready: bool = True
    last_stats: SchedulerStats | None = None
    requests: list[GenerationRequest] = field(default_factory=list)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    streams: list[ScriptedStream] = field(default_factory=list)

    async def generate(self, request: GenerationRequest) -> ScriptedStream:
        if request.constraint is not None:  # an engine compiles it before anything else
            compile_constraint(request.constraint, check)
        self.requests.append(request)
        self.is_asked.set()
        script = self.scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        self.streams.append(ScriptedStream(script))
        return self.streams[-1]

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return list(text.encode())

    async def aclose(self) -> None:
        pass


def local(model_id: str) -> LocalModel:
    return LocalModel(model_id, Path("/models") / "x.gguf", "myna", 1700000000, 1, "catalog")


@dataclass(frozen=True)
class Weightless:
    """A candidate that takes no memory and no time."""

    loaded: LoadedModel
    size: ModelSize = field(default_factory=lambda: ModelSize(0, 0, 8192))

    async def load(self, kv_bytes: int) -> LoadedModel:
        return self.loaded


def loading(generator: Generator, renderer: Renderer | None = None) -> Prepare:
    """A loader whose every model is that generator."""

    async def load(model: ModelSpec) -> Candidate:
        return Weightless(LoadedModel(generator, renderer or fake_renderer(8192)))

    return load


def looking_at(
    files: Sequence[LocalModel], aliases: Sequence[ModelCard], sampling: SamplingDefaults = NO_DEFAULTS
) -> PollListing:
    """A listing that never changes; all models have these sampling defaults."""
    return ModelRegistry(files, aliases, None, defaults_of=lambda model: sampling).poll


def pool_of(generator: ScriptedGenerator, *, forgotten: list[str] | None = None) -> ModelPool:
    """The real pool over scripted models: `tiny`, one with slashes, and an alias."""

    aliases = [ModelCard("gpt-4o-mini", 0, "", "alias", "tiny")]
    return ModelPool(
        looking_at([local("tiny"), local("org/mo del:v1@x")], aliases),
        loading(generator),
        delete_files=lambda file: (forgotten if forgotten is not None else []).append(file.id),
    )


@dataclass
class Ledger:
    rows: list[UsageRow] = field(default_factory=list)
    is_written: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self, row: UsageRow) -> UsageEntry:
        return NullUsageEntry()

    def close(self, entry: UsageEntry | None, row: UsageRow) -> None:
        self.rows.append(row)
        self.is_written.set()


def services(
    pool: ModelPool,
    ledger: Ledger | None = None,
    *,
    key: str | None = KEY,
    completions: CompletionStore | None = None,
    responses: ResponseStore | None = None,
    stores: Stores | None = None,
    writer_limits: WriterLimits | None = None,
) -> Services:
    keys = None if key is None else KeyRing([key])
    accounts = LiveAccounts(MemoryAccounts(), Secret("a secret of the tests, long enough for it"))
    limiter = Limiter(MemoryCounters(), accounts, None, "myna")
    usage_sinks = UsageSinks(ledger or Ledger())
    stores = stores or MemoryStores("memory:")
    completions, responses = completions or stores.completions(), responses or stores.responses()
    database, background = DatabaseThreads(1), stores.background()
    files = Files(stores.files(), _FILES, database)
    return Services(
        pool=pool,
        keys=keys,
        usage_sinks=usage_sinks,
        text_threads=ThreadPoolExecutor(1),
        database_threads=database,
        completions=completions,
        responses=responses,
        conversations=stores.conversations(),
        background=background,
        background_runs=BackgroundRuns(background, database),
        store_writer=StoreWriter([completions, responses], database, writer_limits),
        accounts=accounts,
        limiter=limiter,
        files=files,
        batches=Batches(stores.batches(), files, database),
    )
