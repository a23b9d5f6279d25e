"""Architectures with quantised weights: as near as llama.cpp to what their values are in float32."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.engines.oracle import Oracle
from tests.engines.tiny_models import VOCABULARY, Kind, Tiny, write_tiny

from myna.engines.base import BatchRow
from myna.engines.native import load

MODELS = {
    "gemma3n in Q8_0": Tiny("gemma3n", weights=Kind.Q8_0),
    "gemma3n in Q4_K and Q8_0": Tiny("gemma3n", scale=4, head_dim=64, weights=Kind.Q4_K),
    "experts of qwen3moe in Q8_0": Tiny("qwen3moe", weights=Kind.Q8_0),
    "experts of qwen3moe in Q4_K and Q8_0": Tiny("qwen3moe", scale=8, head_dim=64, weights=Kind.Q4_K),
}
TOKENS = [int(t) for t in np.random.default_rng(7).integers(0, VOCABULARY, 120)]
Rows = npt.NDArray[np.float32]


def oracle_logits(path: Path) -> Rows:
    oracle = Oracle(str(path), context=512, is_exact=True)
    found = oracle.logits(TOKENS)
    oracle.close()
    return found


def distance(logits: Rows, exact: Rows) -> float:
    """The median over rows, of which some may have chosen other experts."""
    return float(np.median(np.linalg.norm(logits - exact, axis=1) / np.linalg.norm(exact, axis=1)))


@pytest.mark.parametrize("model", MODELS)
def test_rounding_activations_costs_no_more_than_in_llama_cpp(model: str, tmp_path: Path) -> None:
    tiny = MODELS[model]
    path = write_tiny(tmp_path / "tiny.gguf", tiny)
    exact = oracle_logits(write_tiny(tmp_path / "floats.gguf", replace(tiny, as_floats=True)))
    theirs = oracle_logits(path)
    engine = load(str(path), context_tokens=512, memory_bytes=64 << 20, threads=2)
    ours = engine.forward([BatchRow(0, TOKENS, 0, 0)]).array.copy()
    engine.close()
    assert distance(ours, exact) < 1.25 * distance(theirs, exact) < 0.1
