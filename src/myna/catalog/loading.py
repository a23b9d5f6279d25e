"""Loads a model for the pool: its text side here, its engine in a worker process, whichever can run it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from myna.catalog.fake_text import fake_prompting
from myna.catalog.pool import Loaded
from myna.catalog.store import LocalModel
from myna.core.errors import ConfigurationError, ModelFileError, ModelLoadFailed
from myna.core.generator import Generator
from myna.engines.registry import is_installed
from myna.prompts.prompting import Prompting
from myna.workers.frames import WorkerSpec

_log: Final = logging.getLogger(__name__)
# What `auto` tries, best first.
_PREFERENCE: Final = ("native", "llamacpp")


# Starts a worker process; returns when its model is loaded. Raises `ModelLoadFailed`.
StartWorker = Callable[[WorkerSpec], Awaitable[Generator]]


@dataclass(frozen=True, slots=True)
class WorkerLoader:
    """The pool's `load`. `engine` is a name from the table of engines, or `auto`."""

    start_worker: StartWorker
    engine: str
    context_tokens: int = 0
    memory_bytes: int = 0
    threads: int = 0
    step_lock: str = ""

    async def __call__(self, file: LocalModel) -> Loaded:
        """Raises `ModelLoadFailed` with what every engine said, `ConfigurationError` for none at all."""
        if self.engine == "fake":
            generator = await self._start(file, "fake")
            return Loaded(generator, fake_prompting(generator.info.context_tokens))
        loop = asyncio.get_running_loop()
        engine_text = _EngineText(loop)
        try:
            prompting = await asyncio.to_thread(Prompting.load, file.path, engine_text)
        except ModelFileError as exc:
            raise ModelLoadFailed(exc.message) from exc
        engine_text.generator = await self._start_first(file)
        return Loaded(engine_text.generator, prompting)

    async def _start_first(self, file: LocalModel) -> Generator:
        reasons: list[str] = []
        for engine in engines_to_try(self.engine):
            try:
                return await self._start(file, engine)
            except ModelLoadFailed as exc:
                _log.info("engine %s can't run %s: %s", engine, file.id, exc.message)
                reasons.append(f"{engine}: {exc.message}")
        raise ModelLoadFailed(f"The model {file.id!r} can't be loaded. {' '.join(reasons)}")

    async def _start(self, file: LocalModel, engine: str) -> Generator:
        spec = WorkerSpec(
            engine, str(file.path), self.context_tokens, self.memory_bytes, self.threads, self.step_lock
        )
        return await self.start_worker(spec)


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
        what = "no engine is" if wanted == "auto" else f"the engine {wanted!r} is not"
        raise ConfigurationError(
            f"In this installation {what} there; bring one with: pip install 'myna[llamacpp]'"
        )
    return installed
