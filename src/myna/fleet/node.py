"""A replica's model on its machine: the engine that runs it, and the hash of its files."""

import asyncio
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from myna.backends.vllm.environment import VllmEnvironment
from myna.backends.vllm.folder_size import weight_files
from myna.core.errors import ConfigurationError, ModelFileError, ModelLoadFailed
from myna.core.file_hashes import FileHashes
from myna.core.translatable import N_
from myna.engines.registry import ENGINES, engines_to_try
from myna.fleet.config import ReplicaSpec
from myna.fleet.replica import ModelFiles, Replica
from myna.prompts.gguf import read_header, shard_paths
from myna.workers.connection import Connect
from myna.workers.frames import WorkerSpec
from myna.workers.process import WorkerProcess
from myna.workers.program import OWN
from myna.workers.watchdog import ProgressLimits

_log: Final = logging.getLogger(__name__)
_FAKE: Final = "fake"  # the only engine whose models have no file
_VLLM: Final = "vllm"


async def start_replica(spec: ReplicaSpec, name: str, node: str) -> Replica:
    """Start the model's worker on the first engine that can run it. `node` is this machine's address. Raises
    `ModelLoadFailed`."""
    reasons = []
    for engine in _engines(spec):
        files = await asyncio.to_thread(_files, spec, engine)
        replica = Replica(_worker(spec, engine), name, node, files)
        try:
            await replica.start()
        except ModelLoadFailed as exc:
            _log.info("engine %s can't run %s: %s", engine, spec.model, exc.message)
            reasons.append(f"{engine}: {exc.message}")
        else:
            return replica
    raise ModelLoadFailed(" ".join(reasons))


def _engines(spec: ReplicaSpec) -> Sequence[str]:
    return [_VLLM] if spec.engine == _VLLM or Path(spec.path).is_dir() else engines_to_try(spec.engine)


def _worker(spec: ReplicaSpec, engine: str) -> Connect:
    """Raises `ModelLoadFailed`."""
    program = OWN
    if engine == _VLLM:
        environment = VllmEnvironment(Path(spec.vllm_python), Path(spec.home))
        try:
            environment.check()
        except ConfigurationError as exc:
            raise ModelLoadFailed(exc.text) from exc
        program = environment.program(spec.threads, os.environ)
    elif spec.adapters:
        raise ModelLoadFailed(N_("LoRA adapters are for vLLM, with models in folders of safetensors."))
    worker = WorkerSpec(
        engine,
        spec.path,
        spec.context_tokens,
        spec.memory_bytes,
        spec.threads,
        options=dict(spec.options),
        adapters=dict(spec.adapters),
    )
    return partial(WorkerProcess, worker, ProgressLimits(), program=program)


def _files(spec: ReplicaSpec, engine: str) -> ModelFiles:
    is_same = engine != _VLLM and ENGINES[engine].is_batch_invariant
    if engine == _FAKE:
        return ModelFiles(is_batch_invariant=is_same)
    path = Path(spec.path)
    try:
        paths = weight_files(path) if path.is_dir() else shard_paths(spec.path, read_header(path))
        return ModelFiles(FileHashes(Path(spec.home) / "hashes.json").digest(paths), is_same)
    except ModelFileError as exc:
        raise ModelLoadFailed(exc.text) from exc
    except OSError as exc:
        raise ModelLoadFailed(
            N_("The model file {path} can't be read: {reason}.", path=spec.path, reason=exc.strerror)
        ) from exc
