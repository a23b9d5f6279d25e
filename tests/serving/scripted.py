"""Stand-ins for a model and a pool: events as the test says, every call of `aclose` and `release` seen."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from myna.accounts.keys import KeyRing
from myna.accounts.secret import Secret
from myna.accounts.usage import NoTab, Tab
from myna.catalog.fake_text import fake_prompting
from myna.catalog.listing import Look, ModelCard, Shelf
from myna.catalog.pool import ModelPool
from myna.catalog.room import ModelSize
from myna.catalog.slots import Candidate, Loaded, Loader
from myna.catalog.store import LocalModel
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta
from myna.core.figures import Figures
from myna.core.generator import ModelInfo
from myna.core.ledger import UsageRow
from myna.core.requests import GenerationRequest
from myna.core.stored import CompletionStore
from myna.decoding.grammar import check
from myna.prompts.prompting import Prompting
from myna.scheduling.grammar_text import compile_constraint
from myna.serving.bill import Accountant
from myna.serving.completion_writer import CompletionWriter, WriterLimits
from myna.serving.limiter import Limiter
from myna.serving.live_accounts import LiveAccounts
from myna.serving.services import Services
from myna.stores.memory import MemoryCompletions
from myna.stores.memory_accounts import MemoryAccounts
from myna.stores.memory_counters import MemoryCounters

KEY = "sk-test-0123456789abcdef"
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

    async def __anext__(self) -> Event:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, Exception):
                raise step
            else:
                return step
        self.is_finished = True
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.num_closed += 1


@dataclass
class ScriptedGenerator:
    """Each request takes the next script; an error there refuses the request."""

    scripts: list[Sequence[Step] | Exception]
    info: ModelInfo = INFO
    is_ready: bool = True
    last_figures: Figures | None = None
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

    loaded: Loaded
    size: ModelSize = field(default_factory=lambda: ModelSize(0, 0, 8192))

    async def load(self, kv_bytes: int) -> Loaded:
        return self.loaded


def loading(generator: ScriptedGenerator, prompting: Prompting | None = None) -> Loader:
    """A loader whose every model is that generator."""

    async def load(file: LocalModel) -> Candidate:
        return Weightless(Loaded(generator, prompting or fake_prompting(8192)))

    return load


def looking_at(files: Sequence[LocalModel], aliases: Sequence[ModelCard]) -> Look:
    """A listing that never changes."""
    return Shelf(files, aliases, None).look


def pool_of(generator: ScriptedGenerator, *, forgotten: list[str] | None = None) -> ModelPool:
    """The real pool over scripted models: `tiny`, one with slashes, and an alias."""

    aliases = [ModelCard("gpt-4o-mini", 0, "", "alias", "tiny")]
    return ModelPool(
        looking_at([local("tiny"), local("org/mo del:v1@x")], aliases),
        loading(generator),
        forget=lambda file: (forgotten if forgotten is not None else []).append(file.id),
    )


@dataclass
class Ledger:
    rows: list[UsageRow] = field(default_factory=list)
    is_written: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self, row: UsageRow) -> Tab:
        return NoTab()

    def close(self, tab: Tab | None, row: UsageRow) -> None:
        self.rows.append(row)
        self.is_written.set()


def services(
    pool: ModelPool,
    ledger: Ledger | None = None,
    *,
    key: str | None = KEY,
    completions: CompletionStore | None = None,
    writer_limits: WriterLimits | None = None,
) -> Services:
    keys = None if key is None else KeyRing([key])
    accounts = LiveAccounts(MemoryAccounts(), Secret("a secret of the tests, long enough for it"))
    limiter = Limiter(MemoryCounters(), accounts, None, "myna")
    accountant = Accountant(ledger or Ledger())
    completions = completions or MemoryCompletions()
    text, database = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    writer = CompletionWriter(completions, database, writer_limits)
    return Services(pool, keys, accountant, text, database, completions, writer, accounts, limiter)
