"""Loads a model for the pool: its text side here, its engine in a worker process, whichever can run it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from myna.catalog.fake_text import fake_prompting
from myna.catalog.memory import process_bytes
from myna.catalog.room import ModelSize
from myna.catalog.sizes import model_size
from myna.catalog.slots import Candidate, Loaded
from myna.catalog.store import LocalModel
from myna.catalog.weights import WeightHashes
from myna.core.errors import ConfigurationError, ModelFileError, ModelLoadFailed
from myna.core.generator import Generator
from myna.core.installation import install_command
from myna.core.translatable import N_, Translatable, joined
from myna.engines.registry import is_installed
from myna.prompts.gguf import read_header, shard_paths
from myna.prompts.model_check import check_model
from myna.prompts.prompting import Prompting
from myna.workers.client import State
from myna.workers.frames import WorkerSpec

_log: Final = logging.getLogger(__name__)
# What `auto` tries, best first.
_PREFERENCE: Final = ("native", "llamacpp")


class WorkerGenerator(Generator, Protocol):
    """A generator with a process of its own."""

    state: State

    @property
    def pid(self) -> int | None: ...


# Starts a worker process; returns when its model is loaded. Raises `ModelLoadFailed`.
StartWorker = Callable[[WorkerSpec], Awaitable[WorkerGenerator]]


@dataclass(frozen=True, slots=True)
class WorkerLoader:
    """The pool's `load`. `engine` is a name from the table of engines, or `auto`."""

    start_worker: StartWorker
    hashes: WeightHashes
    engine: str
    context_tokens: int = 0
    memory_bytes: int = 0
    threads: int = 0
    step_lock: str = ""

    async def __call__(self, file: LocalModel) -> Candidate:
        """Read and try all that needs no engine. Raises `ModelLoadFailed`."""
        if self.engine == "fake":
            return _FakeCandidate(self, file)
        engine_text = _EngineText(asyncio.get_running_loop())
        try:
            size, paths = await asyncio.to_thread(_look_at, file.path)
            prompting = await asyncio.to_thread(Prompting.load, file.path, engine_text)
        except ModelFileError as exc:
            raise ModelLoadFailed(exc.text) from exc
        except OSError as exc:
            raise ModelLoadFailed(
                N_("The model file {path} can't be read: {reason}.", path=file.path, reason=exc.strerror)
            ) from exc
        return _FileCandidate(self, file, paths, size, prompting, engine_text)

    async def start_first(self, file: LocalModel, room_bytes: int) -> WorkerGenerator:
        """The first engine that can run the file. Raises `ModelLoadFailed` with what every engine said,
        `ConfigurationError` for none at all."""
        reasons: list[Translatable] = []
        for engine in engines_to_try(self.engine):
            try:
                return await self.start(file, engine, room_bytes)
            except ModelLoadFailed as exc:
                _log.info("engine %s can't run %s: %s", engine, file.id, exc.message)
                reasons.append(joined(": ", (engine, exc.text)))
        raise ModelLoadFailed(
            N_("The model {model!r} can't be loaded. {reasons}", model=file.id, reasons=joined(" ", reasons))
        )

    async def start(self, file: LocalModel, engine: str, room_bytes: int) -> WorkerGenerator:
        """On that engine alone."""
        spec = WorkerSpec(
            engine,
            str(file.path),
            self.context_tokens,
            self.memory_bytes,
            self.threads,
            self.step_lock,
            room_bytes,
        )
        return await self.start_worker(spec)


@dataclass(frozen=True, slots=True)
class _FileCandidate:
    loader: WorkerLoader
    file: LocalModel
    paths: list[Path]
    size: ModelSize
    prompting: Prompting
    engine_text: "_EngineText"

    async def load(self, kv_bytes: int) -> Loaded:
        weights = asyncio.create_task(asyncio.to_thread(self._weights))  # beside the engine's own reading
        generator = await self.loader.start_first(self.file, kv_bytes)
        self.engine_text.generator = generator
        return _loaded(generator, self.prompting, await weights)

    def _weights(self) -> str:
        try:
            return self.loader.hashes.digest(self.paths)
        except OSError as exc:
            _log.warning("the files of %s can't be read for their hash: %s", self.file.id, exc.strerror)
            return ""


@dataclass(frozen=True, slots=True)
class _FakeCandidate:
    """The fake engine reads no file; what lies there counts as if it did."""

    loader: WorkerLoader
    file: LocalModel

    @property
    def size(self) -> ModelSize:
        return ModelSize(self.file.num_bytes, 0, 0)

    async def load(self, kv_bytes: int) -> Loaded:
        generator = await self.loader.start(self.file, "fake", kv_bytes)
        return _loaded(generator, fake_prompting(generator.info.context_tokens))


def _loaded(generator: WorkerGenerator, prompting: Prompting, weights: str = "") -> Loaded:
    return Loaded(
        generator,
        prompting,
        held_bytes=lambda: process_bytes(generator.pid),
        weights=weights,
        has_died=lambda: generator.state is State.DEAD,
    )


def _look_at(path: Path) -> tuple[ModelSize, list[Path]]:
    """How large the model is, and its files."""
    header = read_header(path)
    check_model(header)
    return model_size(path, header), shard_paths(path, header)


@dataclass(slots=True)
class _EngineText:
    """The engine's own tokenizer, for text threads; for models whose pre-tokenizer ours doesn't know."""

    loop: asyncio.AbstractEventLoop
    generator: Generator | None = None

    def __call__(self, text: str) -> list[int]:
        assert self.generator is not None, "the model is still loading"
        tokens = self.generator.tokenize(text, parse_special=False)
        return asyncio.run_coroutine_threadsafe(tokens, self.loop).result()


def engines_to_try(wanted: str) -> Sequence[str]:
    """Installed engines in order. Raises `ConfigurationError` with what to install."""
    names = _PREFERENCE if wanted == "auto" else (wanted,)
    installed = [name for name in names if is_installed(name)]
    if not installed:
        command = install_command("llamacpp")
        if wanted == "auto":
            raise ConfigurationError(
                N_("No engine is installed here; add one with: {command}", command=command)
            )
        raise ConfigurationError(
            N_(
                "The engine {name!r} is not installed here; add one with: {command}",
                name=wanted,
                command=command,
            )
        )
    return installed
