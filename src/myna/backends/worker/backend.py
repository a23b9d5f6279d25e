"""Loads GGUF files: the text side in this process, and in a worker process the first engine that can run
it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from myna.backends.worker.draft_file import with_draft
from myna.backends.worker.fake_renderer import FakeTextEncoder, fake_renderer
from myna.backends.worker.findings import engine_findings
from myna.backends.worker.loaded_model import (
    EngineText,
    WorkerModel,
    loaded_model,
    read_template,
    start_worker,
    text_side,
)
from myna.backends.worker.model_size import model_size
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
from myna.core.file_hashes import FileHashes
from myna.core.finding import Findings
from myna.core.installation import install_command
from myna.core.ledger import Price
from myna.core.sampling_defaults import SamplingDefaults
from myna.core.translatable import N_, Translatable, joined
from myna.engines.fake_embedding import embeds
from myna.engines.registry import ENGINES, engines_to_try
from myna.prompts.bpe import UnsupportedTokenizer
from myna.prompts.gguf import Header, read_header, shard_paths
from myna.prompts.model_check import check_model
from myna.prompts.pooling import find_pooling, has_pooling
from myna.prompts.renderer import GgufRenderer
from myna.prompts.sampling_metadata import file_defaults
from myna.prompts.text_encoder import GgufTextEncoder
from myna.prompts.tokenizer import check_tokenizer
from myna.prompts.vocabulary import Vocabulary
from myna.scheduling.admission import QueueLimits
from myna.workers.frames import WorkerSpec
from myna.workers.launching import EarlyWorker
from myna.workers.prefix_store import store_path

_log: Final = logging.getLogger(__name__)
_FAKE: Final = "fake"  # the only engine whose models need no file


# Starts a worker process with these queue limits and waits until its model is loaded. Raises
# `ModelLoadFailed`.
StartWorker = Callable[[WorkerSpec, QueueLimits], Awaitable[WorkerModel]]


class WorkerBackend:
    """A `core.backend.Backend`."""

    def __init__(self, options: BackendOptions, start: StartWorker | None = None) -> None:
        self._options = options
        self._early = EarlyWorker()
        self._start_worker: StartWorker = start or partial(start_worker, early=self._early)
        self._limits = QueueLimits(options.max_queue, options.max_queue_tokens)
        self._embeds: dict[LocalModel, bool] = {}
        self.hashes: Final = FileHashes(options.home / "hashes.json")

    def accepts(self, model: ModelSpec) -> bool:
        """Folders are left to another engine, unless one of these is set."""
        return isinstance(model, LocalModel) and not (self._options.engine == "auto" and model.path.is_dir())

    async def prepare(self, model: ModelSpec) -> Candidate:
        """Read and check everything that needs no engine. Raises `ModelLoadFailed`."""
        assert isinstance(model, LocalModel), "accepts() comes first"
        if self._options.engine == _FAKE:
            return _FakeCandidate(self, model, self._options.chat_templates.get(model.id))
        engine_text = EngineText(asyncio.get_running_loop())
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

    def embeds(self, model: ModelSpec) -> bool:
        assert isinstance(model, LocalModel), "accepts() comes first"
        if self._options.engine == _FAKE:
            return embeds(str(model.path))
        if model not in self._embeds:
            self._embeds[model] = has_pooling(model.path)
        return self._embeds[model]

    def price(self, model: str) -> Price | None:
        return None

    async def start(self, first: ModelSpec | None = None) -> None:
        """The first model's worker starts now, to import what it needs; the others when their models are
        loaded."""
        if first is not None:
            with contextlib.suppress(OSError):  # it is tried again for the model, and then the error counts
                self._early.start()
        if names := missing():
            _log.info("worker processes are not confined by %s on this system", " or ".join(names))

    def change(self, options: BackendOptions) -> None:
        """The new queue limits also apply to running workers."""
        self._options = options
        self._limits.max_waiting_requests = options.max_queue
        self._limits.max_waiting_tokens = options.max_queue_tokens

    async def aclose(self) -> None:
        """Workers end when their models are unloaded."""
        self._early.close()

    async def start_first(
        self, model: LocalModel, engines: list[str], kv_bytes: int, draft_part: float
    ) -> WorkerModel:
        """Start a worker on the first of the engines that can run the file. Raises `ModelLoadFailed` with the
        error of every engine."""
        reasons: list[Translatable] = []
        for engine in engines:
            try:
                return await self.start_on(engine, model, kv_bytes, draft_part)
            except ModelLoadFailed as exc:
                _log.info("engine %s can't run %s: %s", engine, model.id, exc.message)
                reasons.append(joined(": ", (engine, exc.text)))
        raise _load_failed(
            model,
            N_(
                "The model {model!r} can't be loaded. {reasons}", model=model.id, reasons=joined(" ", reasons)
            ),
        )

    async def start_on(
        self, engine: str, model: LocalModel, kv_bytes: int, draft_part: float = 0.0
    ) -> WorkerModel:
        """Start a worker on that engine; that part of its KV cache is the draft model's."""
        options = self._options
        draft_bytes = int((options.memory_bytes or kv_bytes) * draft_part)
        prefixes = store_path(options.home / "prefixes", model.path) if options.prefix_cache_bytes else ""
        spec = WorkerSpec(
            engine,
            str(model.path),
            options.context_tokens,
            max(0, options.memory_bytes - draft_bytes),
            options.threads,
            str(options.home / "step.lock"),
            max(0, kv_bytes - draft_bytes),
            str(prefixes),
            options.prefix_cache_bytes,
            str(model.draft.path) if model.draft else "",
            draft_bytes,
            options.kv_cache_type_of(model.id),
        )
        return await self._start_worker(spec, self._limits)

    def _inspect(self, model: LocalModel, engine_text: EngineText) -> "_FileCandidate":
        """Read the file's header once for everything that the server needs. The worker process reads it
        again: it must check the file that it opens, and sending a parsed vocabulary takes as long as reading
        it."""
        if model.path.is_dir():
            raise ModelFileError(
                N_(
                    "{model!r} is a folder of safetensors, which the engine {engine} doesn't run; choose the "
                    "engine auto or vllm.",
                    model=model.id,
                    engine=self._options.engine,
                )
            )
        header = read_header(model.path)
        paths = shard_paths(model.path, header)
        check_model(header)
        engines = _engines(engines_to_try(self._options.engine), header)
        is_packed = engines[:1] == ["native"]
        cache_type = self._options.kv_cache_type_of(model.id)
        size = model_size(header, paths, is_packed=is_packed, kv_cache_type=cache_type)
        pair = with_draft(model, header, size, is_packed=is_packed, kv_cache_type=cache_type)
        tokenizing = [engine for engine in engines if ENGINES[engine].has_tokenizer]
        vocabulary = Vocabulary.of(header)
        try:
            check_tokenizer(vocabulary)
        except UnsupportedTokenizer as exc:
            if not tokenizing:
                raise _without_tokenizer(model, exc) from exc
            engines = tokenizing
        template = read_template(self._options.chat_templates.get(model.id), model.id)
        return _FileCandidate(
            backend=self,
            model=model,
            paths=paths,
            size=pair.size,
            draft_part=pair.draft_part,
            engines=engines,
            tokenizing=tokenizing,
            build_text=partial(text_side, header, engine_text if tokenizing else None, template, vocabulary),
            engine_text=engine_text,
            sampling=file_defaults(header),
        )


def _engines(names: Sequence[str], header: Header) -> list[str]:
    """Those of the engines that run models of this kind. Raises `ModelFileError` if there are none."""
    if not find_pooling(header):
        return list(names)
    embedding = [name for name in names if ENGINES[name].load_embedding]
    if not embedding:
        raise ModelFileError(
            N_(
                "It is an embedding model, which the engine {engine} doesn't run. llama.cpp does: {command}, "
                "then choose the engine llamacpp.",
                engine=" or ".join(names),
                command=install_command("llamacpp"),
            )
        )
    return embedding


def _without_tokenizer(model: LocalModel, error: UnsupportedTokenizer) -> ModelFileError:
    return ModelFileError(
        N_(
            "The model {model!r} can't be loaded. {reason} llama.cpp may know it: {command}, then "
            "choose the engine llamacpp.",
            model=model.id,
            reason=error.text,
            command=install_command("llamacpp"),
        )
    )


@dataclass(frozen=True, slots=True)
class _FileCandidate:
    """`tokenizing` are those of the engines that have a tokenizer."""

    backend: WorkerBackend
    model: LocalModel
    paths: list[Path]
    size: ModelSize
    draft_part: float
    engines: list[str]
    tokenizing: list[str]
    build_text: Callable[[], GgufRenderer | GgufTextEncoder]
    engine_text: EngineText
    sampling: SamplingDefaults

    async def load(self, kv_bytes: int) -> LoadedModel:
        """The tokenizer, and the hash of the weights, are made while the worker starts and loads."""
        weights = asyncio.create_task(asyncio.to_thread(self._weights))
        building = asyncio.create_task(asyncio.to_thread(self._build_text))
        worker: WorkerModel | None = None
        try:
            worker = await self._start(self.engines, kv_bytes)
            text = await building
            if text.uses_engine_tokenizer and self.engines != self.tokenizing:
                await worker.aclose()
                worker = await self._start(self.tokenizing, kv_bytes)
        except BaseException:
            building.cancel()
            if worker is not None:
                await worker.aclose()
            raise
        self.engine_text.worker = worker
        return loaded_model(worker, text, await weights, self.sampling)

    async def _start(self, engines: list[str], kv_bytes: int) -> WorkerModel:
        return await self.backend.start_first(self.model, engines, kv_bytes, self.draft_part)

    def _build_text(self) -> GgufRenderer | GgufTextEncoder:
        try:
            return self.build_text()
        except UnsupportedTokenizer as exc:
            raise _load_failed(self.model, _without_tokenizer(self.model, exc).text) from exc
        except ModelFileError as exc:
            raise _load_failed(self.model, exc.text) from exc

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
    chat_template: Path | None

    @property
    def size(self) -> ModelSize:
        return ModelSize(self.model.num_bytes, 0, 0)

    async def load(self, kv_bytes: int) -> LoadedModel:
        worker = await self.backend.start_on(_FAKE, self.model, kv_bytes, 0.5 if self.model.draft else 0.0)
        if embeds(str(self.model.path)):
            return loaded_model(worker, FakeTextEncoder())
        return loaded_model(worker, await asyncio.to_thread(self._text, worker.info.context_tokens))

    def _text(self, context_tokens: int) -> GgufRenderer:
        template = read_template(self.chat_template, self.model.id)
        return fake_renderer(context_tokens, chat_template=template)


def _load_failed(model: LocalModel, reason: str | Translatable) -> ModelLoadFailed:
    """The error for clients; where the file is, only the log says."""
    _log.error("can't load %s: %s", model.id, reason)
    return ModelLoadFailed(without_path(model, reason))
