"""A backend of models that have no file, no process and no tokens: what another server offers, relayed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tests.http.scripted import ScriptedStream, Step

from myna.core.backend import BackendOptions, Candidate, LoadedModel, ModelSize, ModelSpec
from myna.core.errors import ConfigurationError
from myna.core.events import ChoiceDone, Done, PromptDone, WireChunk
from myna.core.finding import Findings, ok, wrong
from myna.core.generator import ModelInfo
from myna.core.ledger import Price
from myna.core.relay import RelayRequest
from myna.core.stats import SchedulerStats

OPTIONS = BackendOptions(Path("/nowhere"))


@dataclass(frozen=True)
class FarModel:
    """A `ModelSpec` that is found by a URL."""

    id: str
    url: str = "http://127.0.0.1:1/v1"
    owned_by: str = "elsewhere"
    created: int = 1_700_000_000
    is_relayed: bool = True


def relayed(*chunks: bytes) -> list[Step]:
    """What a relay says of an answer in these chunks, of one token each."""
    steps: list[Step] = [WireChunk(chunk, 1) for chunk in chunks]
    return [*steps, PromptDone(7, 2), ChoiceDone(0, "stop", 0, len(chunks)), Done(len(chunks) + 1)]


@dataclass
class ScriptedRelay:
    """A `Relay`: each request takes the next script; an error there refuses the request."""

    scripts: list[Sequence[Step] | Exception] = field(default_factory=list)
    info: ModelInfo = field(default_factory=lambda: ModelInfo("elsewhere", "", 0, 0, 0, 0, ""))
    is_ready: bool = True
    last_stats: SchedulerStats | None = None
    requests: list[RelayRequest] = field(default_factory=list)
    streams: list[ScriptedStream] = field(default_factory=list)
    is_closed: bool = False

    async def open(self, request: RelayRequest) -> ScriptedStream:
        # A copy, since the body is emptied when it has been sent.
        self.requests.append(msgspec.structs.replace(request, body=dict(request.body)))
        script = self.scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        self.streams.append(ScriptedStream(script))
        return self.streams[-1]

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass(frozen=True)
class FarCandidate:
    """It takes no memory here."""

    relay: ScriptedRelay
    size: ModelSize | None = None

    async def load(self, kv_bytes: int) -> LoadedModel:
        return LoadedModel(relay=self.relay)


class Elsewhere:
    """A `Backend`. Which models it announces, the test says."""

    def __init__(self, options: BackendOptions) -> None:
        self.options = options
        self.models: tuple[FarModel, ...] = ()
        self.relay = ScriptedRelay()
        self.is_installed = True
        self.calls: list[str] = []
        self.prices: dict[str, Price] = {}

    def accepts(self, model: ModelSpec) -> bool:
        return isinstance(model, FarModel)

    async def prepare(self, model: ModelSpec) -> Candidate:
        return FarCandidate(self.relay)

    def check(self) -> None:
        if not self.is_installed:
            raise ConfigurationError("Elsewhere is not installed.")

    def findings(self) -> Findings:
        yield ok("elsewhere answers.") if self.is_installed else wrong("It does not.", remedy="Wait.")

    def announced(self) -> tuple[ModelSpec, ...]:
        return self.models

    def embeds(self, model: ModelSpec) -> bool:
        return False

    def may_announce(self, model: str) -> bool:
        return model.startswith("far")

    def price(self, model: str) -> Price | None:
        return self.prices.get(model)

    async def start(self, first: ModelSpec | None = None) -> None:
        self.calls.append("start" if first is None else f"start for {first.id}")

    def change(self, options: BackendOptions) -> None:
        self.options = options

    async def aclose(self) -> None:
        self.calls.append("aclose")
