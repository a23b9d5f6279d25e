"""Loads folders of safetensors: the text side in this process, vLLM in a worker of its own environment."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from myna.backends.vllm.environment import VllmEnvironment, has_gpu
from myna.backends.vllm.findings import vllm_findings
from myna.backends.vllm.folder_size import folder_size, weight_files
from myna.backends.worker.loaded_model import WorkerModel, loaded_model, read_template, start_worker
from myna.core.backend import (
    BackendOptions,
    Candidate,
    LoadedModel,
    LocalModel,
    ModelSize,
    ModelSpec,
    without_path,
)
from myna.core.errors import ConfigurationError, ModelFileError, ModelLoadFailed
from myna.core.file_hashes import FileHashes
from myna.core.finding import Findings
from myna.core.ledger import Price
from myna.core.sampling_defaults import SamplingDefaults
from myna.core.translatable import N_, Translatable
from myna.prompts.folder_text import FolderText, text_config
from myna.prompts.model_folder import JsonFolder
from myna.prompts.renderer import GgufRenderer
from myna.scheduling.admission import QueueLimits
from myna.workers.frames import WorkerSpec
from myna.workers.program import WorkerProgram
from myna.workers.vllm.adapters import read_adapters

_log: Final = logging.getLogger(__name__)
_ENGINE: Final = "vllm"
_CPU_BUILD: Final = "cpu"

# Starts a worker of that program and waits until its model is loaded. Raises `ModelLoadFailed`.
StartProgram = Callable[[WorkerSpec, QueueLimits, WorkerProgram], Awaitable[WorkerModel]]


class VllmBackend:
    """A `core.backend.Backend`."""

    def __init__(self, options: BackendOptions, start: StartProgram = start_worker) -> None:
        self._options = options
        self._start = start
        self._limits = QueueLimits(options.max_queue, options.max_queue_tokens)
        self._environment = VllmEnvironment.of(options.section, options.home)
        self._hashes: Final = FileHashes(options.home / "hashes.json")

    def accepts(self, model: ModelSpec) -> bool:
        return isinstance(model, LocalModel) and (self._options.engine == _ENGINE or model.path.is_dir())

    async def prepare(self, model: ModelSpec) -> Candidate:
        """Read and check everything that needs no vLLM. Raises `ModelLoadFailed`."""
        assert isinstance(model, LocalModel), "accepts() comes first"
        try:
            return await asyncio.to_thread(self._inspect, model)
        except (ModelFileError, ConfigurationError) as exc:
            raise _load_failed(model, exc.text) from exc
        except OSError as exc:
            reason = N_("The model {path} can't be read: {reason}.", path=model.path, reason=exc.strerror)
            raise _load_failed(model, reason) from exc

    def check(self) -> None:
        self._environment.check()

    def findings(self) -> Findings:
        return vllm_findings(self._environment, is_wanted=self._options.engine == _ENGINE)

    def announced(self) -> tuple[ModelSpec, ...]:
        return ()

    def may_announce(self, model: str) -> bool:
        return False

    def embeds(self, model: ModelSpec) -> bool:
        return False

    def price(self, model: str) -> Price | None:
        return None

    async def start(self, first: ModelSpec | None = None) -> None:
        """Workers start when their models are loaded."""

    def change(self, options: BackendOptions) -> None:
        """The new queue limits also apply to running workers."""
        self._options = options
        self._environment = VllmEnvironment.of(options.section, options.home)
        self._limits.max_waiting_requests = options.max_queue
        self._limits.max_waiting_tokens = options.max_queue_tokens

    async def aclose(self) -> None:
        """Nothing to do: workers end when their models are unloaded."""

    async def start_worker(self, model: LocalModel, kv_bytes: int) -> WorkerModel:
        """Raises `ModelLoadFailed`."""
        options = self._options
        spec = WorkerSpec(
            _ENGINE,
            str(model.path),
            options.context_tokens,
            options.memory_bytes,
            options.threads,
            max_kv_bytes=kv_bytes,
            options=dict(options.engine_options.get(model.id, {})),
            adapters=_adapters(options, model),
        )
        program = self._environment.program(options.threads, os.environ)
        try:
            return await self._start(spec, self._limits, program)
        except ModelLoadFailed as exc:
            raise _load_failed(model, exc.text) from exc

    def digest(self, model: LocalModel, files: list[Path]) -> str:
        """Identifies the weights; "" if they can't be read."""
        try:
            return self._hashes.digest(files)
        except OSError as exc:
            _log.warning("can't hash the files of %s: %s", model.id, exc.strerror)
            return ""

    def _inspect(self, model: LocalModel) -> "_Candidate":
        if not model.path.is_dir():
            raise ModelFileError(
                N_(
                    "vLLM runs folders of safetensors, and {model!r} is a GGUF file; choose the engine "
                    "auto or "
                    "native for it.",
                    model=model.id,
                )
            )
        if model.draft is not None:
            raise ModelFileError(
                N_(
                    "Models of vLLM take no draft model; remove the setting draft of {model!r}.",
                    model=model.id,
                )
            )
        if (cache := self._options.kv_cache_type_of(model.id)) != "auto":
            raise ModelFileError(
                N_(
                    'vLLM has no KV cache of the type {cache}; set kv_cache_type = "auto" for {model!r}, and '
                    'for 8 bits its own option: vllm = {{ kv_cache_dtype = "fp8" }}.',
                    cache=cache,
                    model=model.id,
                )
            )
        self._environment.check()
        is_cpu = self._environment.version().endswith(_CPU_BUILD)
        if not is_cpu and not has_gpu():
            raise ConfigurationError(
                N_(
                    "vLLM in {python} needs a GPU, and this machine has none that can be used; see "
                    "docs/vllm.md "
                    "for its build for processors.",
                    python=self._environment.python,
                )
            )
        files = weight_files(model.path)
        read_adapters(_adapters(self._options, model))
        text = FolderText.read(model.path)
        renderer = text.renderer(read_template(self._options.chat_templates.get(model.id), model.id))
        size = None
        if is_cpu:
            config = text_config(JsonFolder(model.path))
            size = folder_size(config, files, renderer.context_tokens)
        return _Candidate(self, model, files, size, renderer, text.sampling)


@dataclass(frozen=True, slots=True)
class _Candidate:
    backend: VllmBackend
    model: LocalModel
    files: list[Path]
    size: ModelSize | None
    renderer: GgufRenderer
    sampling: SamplingDefaults

    async def load(self, kv_bytes: int) -> LoadedModel:
        weights = asyncio.create_task(asyncio.to_thread(self.backend.digest, self.model, self.files))
        worker = await self.backend.start_worker(self.model, kv_bytes)
        return loaded_model(worker, self.renderer, await weights, self.sampling)


def _adapters(options: BackendOptions, model: LocalModel) -> dict[str, str]:
    return {name: str(path) for name, path in options.adapters.get(model.id, {}).items()}


def _load_failed(model: LocalModel, reason: str | Translatable) -> ModelLoadFailed:
    """The error for clients; where the folder is, only the log says."""
    _log.error("can't load %s: %s", model.id, reason)
    return ModelLoadFailed(without_path(model, reason))
