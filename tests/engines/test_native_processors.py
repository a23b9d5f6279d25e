"""Every instruction set that this machine can run gives the same bits: the fingerprint names none."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.engines.tiny_models import VOCABULARY, Kind, Tiny, write_tiny

from myna.engines.base import Row
from myna.engines.native import load

NAMES = ("amx", "avx512vnni", "avx2vnni", "avx2", "neon", "portable")
MODELS = {
    "llama in floats": Tiny("llama", head_dim=48),
    "qwen3 in Q5_0": Tiny("qwen3", head_dim=32, weights=Kind.Q5_0),
    "gemma3 in Q4_1": Tiny("gemma3", layers=7, tied=True, weights=Kind.Q4_1),
}
UNAVAILABLE = 75


def digest(path: str) -> str:
    """The hash of all logits of a prompt in two chunks and of a decode."""
    tokens = [int(t) for t in np.random.default_rng(9).integers(0, VOCABULARY, 330)]
    engine = load(path, context_tokens=512, memory_bytes=64 << 20, threads=2)
    found = hashlib.sha256()
    for start, end in ((0, 290), (290, 329), (329, 330)):
        found.update(engine.forward([Row(0, tokens[start:end], start, 0)]).array.tobytes())
    engine.close()
    return found.hexdigest()


def digest_on(name: str, path: str) -> str | None:
    """The digest in a process whose kernels are forced; None where this machine can't run them."""
    run = subprocess.run(
        [sys.executable, __file__, path],
        env=os.environ | {"MYNA_CPU": name, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == UNAVAILABLE:
        return None
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("model", MODELS)
def test_all_instruction_sets_agree_to_the_last_bit(model: str, tmp_path: Path) -> None:
    path = str(write_tiny(tmp_path / "tiny.gguf", MODELS[model]))
    found = {name: digest_on(name, path) for name in NAMES}
    ran = {name: value for name, value in found.items() if value is not None}
    assert "portable" in ran and len(ran) >= 2
    assert set(ran.values()) == {digest(path)}, ran


def main() -> None:
    from myna import _native

    try:
        _native.kernel_name()
    except RuntimeError:
        sys.exit(UNAVAILABLE)
    print(digest(sys.argv[1]))


if __name__ == "__main__":
    main()
