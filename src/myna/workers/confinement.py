"""What the worker of one model may read and use."""

import os
import re
from pathlib import Path
from typing import Final

import psutil

from myna.core.confinement import Confinement
from myna.workers.frames import WorkerSpec

_FIRST_SHARD: Final = re.compile(r"-00001-of-(\d{5})\.gguf$")
# Private memory besides weights and KV cache: Python, vocabulary, grammars, logits of long prompts; and, per
# core, the stack of a thread and the buffers of numeric libraries.
_BASE_BYTES: Final = 4 << 30
_CORE_BYTES: Final = 64 << 20
_OOM_SCORE_ADJ: Final = 500


def confinement_of(spec: WorkerSpec) -> Confinement:
    """The files of the model and of its draft model, and twice the planned memory.

    A worker that needs more than that has gone wrong, and must fail alone, before the machine runs out of
    memory. Only private memory is limited, which holds repacked weights and the KV cache: the address space
    also has the mapped files, and much that is only reserved.
    """
    files = [file for path in (spec.path, spec.draft) if path for file in _files(Path(path))]
    weights_bytes = sum(path.stat().st_size for path in files)
    kv_bytes = spec.memory_bytes or spec.max_kv_bytes or psutil.virtual_memory().total // 4
    return Confinement(
        readable=tuple(map(str, files)),
        data_bytes=2 * (weights_bytes + kv_bytes + spec.draft_bytes)
        + _BASE_BYTES
        + _CORE_BYTES * (os.cpu_count() or 1),
        oom_score_adj=_OOM_SCORE_ADJ,
    )


def _files(path: Path) -> list[Path]:
    """All shards by their names, as far as they exist; whether they are a model is for the worker to find
    out."""
    names = [path.name]
    if found := _FIRST_SHARD.search(path.name):
        stem = path.name[: found.start()]
        names = [f"{stem}-{number + 1:05d}-of-{found[1]}.gguf" for number in range(int(found[1]))]
    return [file for name in names if (file := path.with_name(name)).is_file()]
