"""Loads GGUF files: the renderer in this process, and in a worker process the first engine that can run
it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from myna.backends.worker.fake_renderer import fake_renderer
from myna.backends.worker.file_hashes import FileHashes
from myna.backends.worker.findings import engine_findings
from myna.backends.worker.model_size import model_size
from myna.backends.worker.process_memory import process_bytes
from myna.core.backend import (
    BackendOptions,
    Candidate,
    LoadedModel,
    LocalModel,
    ModelSize,
    ModelSpec,
    without_path,
)
from myna.core.confinement import missing
from myna.core.errors import ModelFileError, ModelLoadFailed
from myna.core.finding import Findings
from myna.core.generator import Generator
from myna.core.installation import install_command
from myna.core.ledger import Price
from myna.core.renderer import Renderer
from myna.core.sampling_defaults import NO_DEFAULTS, SamplingDefaults
from myna.core.translatable import N_, Translatable, joined
from myna.engines.registry import ENGINES, engines_to_try
from myna.prompts.bpe import UnsupportedTokenizer
from myna.prompts.gguf import read_header, shard_paths
from myna.prompts.model_check import check_model
from myna.prompts.renderer import GgufRenderer
from myna.prompts.sampling_metadata import file_defaults
from myna.scheduling.admission import QueueLimits
from myna.workers.client import State, WorkerClient
from myna.workers.frames import WorkerSpec

_log: Final = logging.getLogger(__name__)
_FAKE: Final = "fake"  # the only engine whose models need no file


class WorkerGenerator(Generator, Protocol):
    """A generator with its own process."""

    state: State

    @property
    def pid(self) -> int | None: ...


# Starts a worker process with these queue limits and waits until its model is loaded. Raises
# `ModelLoadFailed`.
StartWorker = Callable[[WorkerSpec, QueueLimits], Awaitable[WorkerGenerator]]


async def start_worker(spec: WorkerSpec, limits: QueueLimits) -> WorkerClient:
    """A `StartWorker` for real processes."""
    client = WorkerClient(spec, limits)
    await client.start()
    return client


class WorkerBackend:
    """A `core.backend.Backend`."""

    def __init__(self, options: BackendOptions, start_worker: StartWorker = start_worker) -> None:
        self._options = options
        self._start_worker = start_worker
        self._limits = QueueLimits(options.max_queue, options.max_queue_tokens)
        self.hashes: Final = FileHashes(options.home / "hashes.json")

    def accepts(self, model: ModelSpec) -> bool:
        return isinstance(model, LocalModel)

    async def prepare(self, model: ModelSpec) -> Candidate:
        """Read and check everything that needs no engine. Raises `ModelLoadFailed`."""
        assert isinstance(model, LocalModel), "accepts() comes first"
        if self._options.engine == _FAKE:
            return _FakeCandidate(self, model)
        engine_text = _EngineText(asyncio.get_running_loop())
        try:
            return await asyncio.to_thread(self._inspect, model, engine_text)
        except ModelFileError as exc:
            raise _load_failed(model, exc.text) from exc
        except OSError as exc:
            reason = N_(
                "The model file {path} can't be read: {reason}.", path=model.path, reason=exc.strerror
            )
            raise _load_failed(model, reason) from exc

    def check(self) -> None:
        engines_to_try(self._options.engine)

    def findings(self) -> Findings:
        return engine_findings(self._options.engine)

    def announced(self) -> tuple[ModelSpec, ...]:
        return ()

    def may_announce(self, model: str) -> bool:
        return False

    def price(self, model: str) -> Price | None:
        return None

    async def start(self) -> None:
        """Workers start when their models are loaded."""
        if names := missing():
            _log.info("worker processes are not confined by %s on this system", " or ".join(names))

    def change(self, options: BackendOptions) -> None:
        """The new queue limits also apply to running workers."""
        self._options = options
        self._limits.max_waiting_requests = options.max_queue
        self._limits.max_waiting_tokens = options.max_queue_tokens

    async def aclose(self) -> None:
        """Nothing to do: workers end when their models are unloaded."""

    async def start_first(self, model: LocalModel, engines: list[str], kv_bytes: int) -> WorkerGenerator:
        """Start a worker on the first of the engines that can run the file. Raises `ModelLoadFailed` with the
        error of every engine."""
        reasons: list[Translatable] = []
        for engine in engines:
            try:
                return await self.start_on(engine, model, kv_bytes)
            except ModelLoadFailed as exc:
                _log.info("engine %s can't run %s: %s", engine, model.id, exc.message)
                reasons.append(joined(": ", (engine, exc.text)))
        raise _load_failed(
            model,
            N_(
                "The model {model!r} can't be loaded. {reasons}", model=model.id, reasons=joined(" ", reasons)
            ),
        )

    async def start_on(self, engine: str, model: LocalModel, kv_bytes: int) -> WorkerGenerator:
        """Start a worker on that engine."""
        options = self._options
        spec = WorkerSpec(
            engine,
            str(model.path),
            options.context_tokens,
            options.memory_bytes,
            options.threads,
            str(options.home / "step.lock"),
            kv_bytes,
        )
        return await self._start_worker(spec, self._limits)

    def _chat_template(self, model: LocalModel) -> str | None:
        """The template that the settings give the model."""
        path = self._options.chat_templates.get(model.id)
        if path is None:
            return None
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ModelLoadFailed(
                N_("The chat template {path} of {model!r} can't be read.", path=path, model=model.id)
            ) from exc

    def _inspect(self, model: LocalModel, engine_text: "_EngineText") -> "_FileCandidate":
        """Read the file's header once for everything that the server needs. The worker process reads it
        again: it must check the file that it opens, and sending a parsed vocabulary takes as long as reading
        it."""
        header = read_header(model.path)
        paths = shard_paths(model.path, header)
        check_model(header)
        size = model_size(header, paths)
        engines = list(engines_to_try(self._options.engine))
        tokenizing = [engine for engine in engines if ENGINES[engine].has_tokenizer]
        chat_template = self._chat_template(model)
        try:
            renderer = GgufRenderer.from_header(
                header, engine_text if tokenizing else None, chat_template=chat_template
            )
        except UnsupportedTokenizer as exc:
            raise ModelFileError(
                N_(
                    "The model {model!r} can't be loaded. {reason} llama.cpp may know it: {command}, then "
                    "choose the engine llamacpp.",
                    model=model.id,
                    reason=exc.text,
                    command=install_command("llamacpp"),
                )
            ) from exc
        if renderer.uses_engine_tokenizer:
            engines = tokenizing
        return _FileCandidate(self, model, paths, size, engines, renderer, engine_text, file_defaults(header))


@dataclass(frozen=True, slots=True)
class _FileCandidate:
    backend: WorkerBackend
    model: LocalModel
    paths: list[Path]
    size: ModelSize
    engines: list[str]
    renderer: GgufRenderer
    engine_text: "_EngineText"
    sampling: SamplingDefaults

    async def load(self, kv_bytes: int) -> LoadedModel:
        weights = asyncio.create_task(asyncio.to_thread(self._weights))  # while the engine reads them, too
        generator = await self.backend.start_first(self.model, self.engines, kv_bytes)
        self.engine_text.generator = generator
        return _loaded(generator, self.renderer, await weights, self.sampling)

    def _weights(self) -> str:
        try:
            return self.backend.hashes.digest(self.paths)
        except OSError as exc:
            _log.warning("can't hash the files of %s: %s", self.model.id, exc.strerror)
            return ""


@dataclass(frozen=True, slots=True)
class _FakeCandidate:
    """The fake engine reads no file, but the file's size counts as its weights."""

    backend: WorkerBackend
    model: LocalModel

    @property
    def size(self) -> ModelSize:
        return ModelSize(self.model.num_bytes, 0, 0)

    async def load(self, kv_bytes: int) -> LoadedModel:
        generator = await self.backend.start_on(_FAKE, self.model, kv_bytes)
        renderer = await asyncio.to_thread(fake_renderer, generator.info.context_tokens)
        return _loaded(generator, renderer)


def _load_failed(model: LocalModel, reason: str | Translatable) -> ModelLoadFailed:
    """The error for clients; where the file is, only the log says."""
    _log.error("can't load %s: %s", model.id, reason)
    return ModelLoadFailed(without_path(model, reason))


def _loaded(
    generator: WorkerGenerator,
    renderer: Renderer,
    weights: str = "",
    sampling: SamplingDefaults = NO_DEFAULTS,
) -> LoadedModel:
    return LoadedModel(
        generator,
        renderer,
        weights=weights,
        sampling=sampling,
        held_bytes=lambda: process_bytes(generator.pid),
        is_dead=lambda: generator.state is State.DEAD,
    )


@dataclass(slots=True)
class _EngineText:
    """Calls the engine's own tokenizer from text threads, for models whose pre-tokenizer Myna doesn't
    support."""

    loop: asyncio.AbstractEventLoop
    generator: Generator | None = None

    def __call__(self, text: str) -> list[int]:
        assert self.generator is not None, "the model is still loading"
        tokens = self.generator.tokenize(text, parse_special=False)
        return asyncio.run_coroutine_threadsafe(tokens, self.loop).result()
