"""Every instruction set that this machine can run gives the same bits, however a prompt is cut; AMX its own,
which the fingerprint names."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.engines.tiny_models import VOCABULARY, Kind, Tiny, write_tiny

from myna.engines.base import BatchRow
from myna.engines.native import load

SHARED = ("avx512vnni", "avx2vnni", "avx2", "neon", "portable")
ALL_OF_IT = 330
CUTS = {"in three": (290, 329), "in many": (1, 2, 18, 51, 116, 200), "whole": ()}
MODELS = {
    "llama in floats": Tiny("llama", head_dim=48),
    "qwen3 in Q5_0": Tiny("qwen3", head_dim=32, weights=Kind.Q5_0),
    "gemma3 in Q4_1": Tiny("gemma3", layers=7, tied=True, weights=Kind.Q4_1),
    "capped gemma2 in Q8_0": Tiny("gemma2", weights=Kind.Q8_0),
    "cohere2 in floats, with means in its norms": Tiny("cohere2"),
    "experts of gpt-oss in Q5_0": Tiny("gpt-oss", weights=Kind.Q5_0),
    "experts of qwen3moe in Q8_0": Tiny("qwen3moe", weights=Kind.Q8_0),
}
UNAVAILABLE = 75


def digest(path: str, cuts: tuple[int, ...]) -> str:
    """The hash of all logits of a text, computed in pieces that end at `cuts`. Three sequences that share
    all but the last token must have its bits, too."""
    tokens = [int(t) for t in np.random.default_rng(9).integers(0, VOCABULARY, ALL_OF_IT)]
    engine = load(path, context_tokens=512, memory_bytes=64 << 20, threads=2)
    found, start = hashlib.sha256(), 0
    for end in (*cuts, ALL_OF_IT):
        rows = engine.forward([BatchRow(0, tokens[start:end], start, 0)]).array.copy()
        found.update(rows.tobytes())
        start = end
    engine.trim(0, ALL_OF_IT - 1)
    for other in (1, 2):
        engine.fork(0, other, ALL_OF_IT - 1)
    again = engine.forward([BatchRow(i, tokens[-1:], ALL_OF_IT - 1, 0) for i in range(3)]).array
    assert again.tobytes() == 3 * rows[-1].tobytes()
    engine.close()
    return found.hexdigest()


def digests_on(name: str, path: str) -> set[str]:
    """Those of all cuts in a process whose kernels are forced; none where this machine can't run them."""
    # The same Python runs for each of them: this process's coverage is enough.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    run = subprocess.run(
        [sys.executable, __file__, path],
        env=inherited | {"MYNA_CPU": name, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == UNAVAILABLE:
        return set()
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize("model", MODELS)
def test_all_instruction_sets_agree_to_the_last_bit(model: str, tmp_path: Path) -> None:
    path = str(write_tiny(tmp_path / "tiny.gguf", MODELS[model]))
    shared = {name: digests_on(name, path) for name in SHARED}
    assert shared["portable"] and sum(map(bool, shared.values())) >= 2
    assert len(set().union(*shared.values())) == 1, shared


@pytest.mark.parametrize("model", MODELS)
def test_matrix_tiles_give_the_same_bits_however_a_text_is_cut(model: str, tmp_path: Path) -> None:
    path = str(write_tiny(tmp_path / "tiny.gguf", MODELS[model]))
    tiles = digests_on("amx", path)
    if not tiles:
        pytest.skip("this processor has no matrix tiles")
    assert len(tiles) == 1
    has_quantised_weights = "floats" not in model
    assert (tiles != digests_on("portable", path)) == has_quantised_weights


def test_the_arithmetic_has_a_name() -> None:
    from myna import _native

    assert _native.activations() == ("bfloat16" if _native.kernel_name() == "amx" else "int8")


def main() -> None:
    from myna import _native

    try:
        _native.kernel_name()
    except RuntimeError:
        sys.exit(UNAVAILABLE)
    print(*(digest(sys.argv[1], cuts) for cuts in CUTS.values()))


if __name__ == "__main__":
    main()
