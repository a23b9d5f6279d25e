"""The backend of a fleet: models whose weights are on other machines. This server renders and counts."""

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from myna.backends.worker.fake_renderer import FakeTextEncoder, fake_renderer
from myna.backends.worker.loaded_model import EngineText, TextSide, loaded_model, read_template, text_side
from myna.core.backend import BackendOptions, Candidate, LoadedModel, ModelSize, ModelSpec
from myna.core.errors import ConfigurationError, ModelFileError, ModelLoadFailed
from myna.core.finding import Findings, ok, wrong
from myna.core.installation import install_command
from myna.core.ledger import Price
from myna.core.sampling_defaults import NO_DEFAULTS, SamplingDefaults
from myna.core.supervision import SupervisedTask
from myna.core.translatable import N_
from myna.engines.fake_embedding import embeds
from myna.engines.registry import ENGINES
from myna.fleet.config import ray_missing, read_section
from myna.fleet.front import FleetConnection
from myna.fleet.messages import Description
from myna.fleet.model_head import ModelHead
from myna.fleet.token import use_token
from myna.prompts.folder_text import FolderText
from myna.prompts.gguf import read_header
from myna.prompts.sampling_metadata import file_defaults
from myna.scheduling.admission import QueueLimits
from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec


@dataclass(frozen=True, slots=True)
class FleetModel:
    """A `core.backend.ModelSpec` of the fleet."""

    id: str
    created: int
    owned_by: str = "fleet"

    @property
    def is_relayed(self) -> bool:
        return False


class FleetBackend:
    """A `core.backend.Backend`. It joins the cluster when it is started, and loading
    waits for that."""

    def __init__(self, options: BackendOptions) -> None:
        self._options = options
        self._limits = QueueLimits(options.max_queue, options.max_queue_tokens)
        self._config = read_section(options.section)
        self._announced: tuple[FleetModel, ...] = ()
        self._is_joined = asyncio.Event()
        self._joining = SupervisedTask("join the cluster of the fleet", self._join)
        self._announce()

    def accepts(self, model: ModelSpec) -> bool:
        """Also a model whose file happens to be here: the settings say that the fleet runs it."""
        return not model.is_relayed and model.id in self._config.models

    async def prepare(self, model: ModelSpec) -> Candidate:
        return _Candidate(model.id, self._options, self._limits, self._is_joined)

    def check(self) -> None:
        if find_spec("ray") is None:
            raise ray_missing()

    def findings(self) -> Findings:
        try:
            self.check()
        except ConfigurationError as exc:
            yield wrong(exc.text, remedy=install_command("fleet"))
        else:
            yield ok(N_("The models of the fleet at {address} are offered.", address=self._config.address))

    def announced(self) -> tuple[ModelSpec, ...]:
        return self._announced

    def may_announce(self, model: str) -> bool:
        return model in self._config.models

    def embeds(self, model: ModelSpec) -> bool:
        return False  # only its header says, which is on another machine

    def price(self, model: str) -> Price | None:
        return None

    async def start(self, first: ModelSpec | None = None) -> None:
        self.check()
        self._joining.start()

    def change(self, options: BackendOptions) -> None:
        """The cluster stays the one that was joined."""
        self._options, self._config = options, read_section(options.section)
        self._announce()
        self._limits.max_waiting_requests = options.max_queue
        self._limits.max_waiting_tokens = options.max_queue_tokens

    async def aclose(self) -> None:
        await self._joining.aclose()

    async def _join(self) -> None:
        use_token(self._config.token_path(self._options.home))
        cluster: Any = import_module("myna.fleet.on_ray.cluster")
        await asyncio.to_thread(cluster.connect, self._config.address)
        self._is_joined.set()

    def _announce(self) -> None:
        known = {model.id: model for model in self._announced}
        now = int(time.time())
        self._announced = tuple(known.get(model) or FleetModel(model, now) for model in self._config.models)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Needs no memory here. Loading waits for a first replica."""

    model: str
    options: BackendOptions
    limits: QueueLimits
    is_joined: asyncio.Event

    @property
    def size(self) -> ModelSize | None:
        return None

    async def load(self, kv_bytes: int) -> LoadedModel:
        await self.is_joined.wait()
        on_ray: Any = import_module("myna.fleet.on_ray.replicas")
        replicas = await asyncio.to_thread(on_ray.RayReplicas, self.model)
        description, head = await asyncio.gather(replicas.describe(), replicas.head())
        client = WorkerClient(
            WorkerSpec("fleet", self.model),
            self.limits,
            connect=partial(FleetConnection, self.model, replicas),
        )
        engine_text = EngineText(asyncio.get_running_loop(), client)
        try:
            text, sampling = await asyncio.to_thread(self._text, description, head, engine_text)
        except ModelFileError as exc:
            raise ModelLoadFailed(exc.text) from exc
        await client.start()
        return loaded_model(client, text, description.weights, sampling)

    def _text(
        self, description: Description, head: ModelHead, engine_text: EngineText
    ) -> tuple[TextSide, SamplingDefaults]:
        """What turns texts into tokens and back, of the same files as the replicas'; blocks."""
        if head == ModelHead():
            fake = fake_renderer(description.info.context_tokens)
            return FakeTextEncoder() if embeds(self.model) else fake, NO_DEFAULTS
        path = head.write(self.options.home / "fleet", description.weights)
        template = self.options.chat_templates.get(self.model)
        if path.is_dir():
            folder = FolderText.read(path)
            return folder.renderer(read_template(template, self.model)), folder.sampling
        header = read_header(path)
        asks_engine = engine_text if ENGINES[description.info.engine].has_tokenizer else None
        return text_side(header, asks_engine, read_template(template, self.model)), file_defaults(header)
