"""A replica's model on its machine: the engine that runs it, its hash, its header for servers."""

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Final

from myna.backends.worker.file_hashes import FileHashes
from myna.core.errors import ModelLoadFailed
from myna.core.translatable import N_
from myna.engines.registry import ENGINES, engines_to_try
from myna.fleet.config import ReplicaSpec
from myna.fleet.replica import ModelFiles, Replica
from myna.prompts.gguf import read_header, shard_paths
from myna.workers.frames import WorkerSpec
from myna.workers.process import WorkerProcess
from myna.workers.watchdog import ProgressLimits

_log: Final = logging.getLogger(__name__)
_FAKE: Final = "fake"  # the only engine whose models have no file


async def start_replica(spec: ReplicaSpec, name: str) -> Replica:
    """Start the model's worker on the first engine that can run it. Raises `ModelLoadFailed`."""
    reasons = []
    for engine in engines_to_try(spec.engine):
        files = await asyncio.to_thread(_files, spec, engine)
        worker = WorkerSpec(engine, spec.path, spec.context_tokens, spec.memory_bytes, spec.threads)
        replica = Replica(partial(WorkerProcess, worker, ProgressLimits()), name, files)
        try:
            await replica.start()
        except ModelLoadFailed as exc:
            _log.info("engine %s can't run %s: %s", engine, spec.model, exc.message)
            reasons.append(f"{engine}: {exc.message}")
        else:
            return replica
    raise ModelLoadFailed(" ".join(reasons))


def read_head(path: str) -> bytes:
    """A file's header as it is, without the weights: all that a server needs."""
    if not Path(path).is_file():
        return b""
    header = read_header(path)
    end = min((tensor.offset for tensor in header.tensors), default=header.file_bytes)
    with Path(path).open("rb") as file:
        return file.read(end)


def _files(spec: ReplicaSpec, engine: str) -> ModelFiles:
    is_same = ENGINES[engine].is_batch_invariant
    if engine == _FAKE:
        return ModelFiles(is_batch_invariant=is_same)
    try:
        paths = shard_paths(spec.path, read_header(spec.path))
        weights = FileHashes(Path(spec.home) / "hashes.json").digest(paths)
        return ModelFiles(weights, Path(spec.path).stat().st_size, is_same)
    except OSError as exc:
        raise ModelLoadFailed(
            N_("The model file {path} can't be read: {reason}.", path=spec.path, reason=exc.strerror)
        ) from exc
