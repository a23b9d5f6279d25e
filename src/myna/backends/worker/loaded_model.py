"""A model whose tokens another process generates: its text side, and both together."""

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from myna.backends.worker.fake_renderer import FakeTextEncoder
from myna.backends.worker.process_memory import process_bytes
from myna.core.backend import LoadedModel
from myna.core.embedder import Embedder
from myna.core.errors import ModelLoadFailed
from myna.core.generator import Generator
from myna.core.sampling_defaults import NO_DEFAULTS, SamplingDefaults
from myna.core.translatable import N_
from myna.prompts.gguf import Header
from myna.prompts.pooling import find_pooling
from myna.prompts.renderer import GgufRenderer
from myna.prompts.text_encoder import GgufTextEncoder
from myna.prompts.vocabulary import Vocabulary
from myna.scheduling.admission import QueueLimits
from myna.workers.client import State, WorkerClient
from myna.workers.frames import WorkerSpec
from myna.workers.launching import EarlyWorker
from myna.workers.program import OWN, WorkerProgram

# What turns texts into tokens and back.
TextSide = GgufRenderer | GgufTextEncoder | FakeTextEncoder


class WorkerModel(Generator, Embedder, Protocol):
    """A model with its own process: a generator or an embedder, as its `info` says."""

    state: State

    @property
    def pid(self) -> int | None: ...


async def start_worker(
    spec: WorkerSpec,
    limits: QueueLimits,
    program: WorkerProgram = OWN,
    early: EarlyWorker | None = None,
) -> WorkerClient:
    """Start a worker process with these queue limits and wait until its model is loaded. Raises
    `ModelLoadFailed`."""
    client = WorkerClient(spec, limits, program=program, early=early)
    await client.start()
    return client


@dataclass(slots=True)
class EngineText:
    """Calls the engine's own tokenizer from text threads, for models whose pre-tokenizer Myna doesn't
    support."""

    loop: asyncio.AbstractEventLoop
    worker: WorkerModel | None = None

    def __call__(self, text: str) -> list[int]:
        assert self.worker is not None, "the model is still loading"
        tokens = self.worker.tokenize(text, parse_special=False)
        return asyncio.run_coroutine_threadsafe(tokens, self.loop).result()


def text_side(
    header: Header,
    engine_text: EngineText | None,
    template: str | None,
    vocabulary: Vocabulary | None = None,
) -> GgufRenderer | GgufTextEncoder:
    """What turns texts into tokens and back. `template` replaces the file's own chat template; `vocabulary`
    is the header's, if that was already read. Raises `ModelFileError`."""
    if find_pooling(header):
        return GgufTextEncoder(header, engine_text, vocabulary)
    return GgufRenderer.from_header(header, engine_text, chat_template=template, vocabulary=vocabulary)


def read_template(path: Path | None, model: str) -> str | None:
    """The chat template of the owner's, if one replaces the model's. Raises `ModelLoadFailed`."""
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelLoadFailed(
            N_("The chat template {path} of {model!r} can't be read.", path=path, model=model)
        ) from exc


def loaded_model(
    worker: WorkerModel,
    text: TextSide,
    weights: str = "",
    sampling: SamplingDefaults = NO_DEFAULTS,
) -> LoadedModel:
    """The model, ready to be used."""
    loaded = partial(
        LoadedModel,
        weights=weights,
        sampling=sampling,
        held_bytes=lambda: process_bytes(worker.pid),
        is_dead=lambda: worker.state is State.DEAD,
    )
    if isinstance(text, GgufRenderer):
        return loaded(generator=worker, renderer=text)
    return loaded(embedder=worker, texts=text)
