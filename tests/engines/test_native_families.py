"""Small random models of each family and weight type against llama.cpp and a float32 reference."""

import re
from pathlib import Path

import numpy as np
import pytest
from tests.engines.float_reference import FloatReference
from tests.engines.oracle import Oracle
from tests.engines.tiny_models import VOCABULARY, Kind, Tiny, write_tiny

from myna.core.errors import ModelLoadFailed
from myna.core.installation import install_command
from myna.engines.base import BatchRow
from myna.engines.native import load

FAMILIES = {
    "llama": Tiny("llama"),
    "llama with Llama 3's rope": Tiny("llama", factors=("rope_freqs",)),
    "llama, linear rope": Tiny(
        "llama", overrides={"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.5}
    ),
    "llama, heads of 48": Tiny("llama", head_dim=48),
    "qwen2": Tiny("qwen2"),
    "qwen3, wide heads": Tiny("qwen3", head_dim=32),
    "qwen3, tied": Tiny("qwen3", tied=True),
    "gemma3 beyond its window": Tiny("gemma3", layers=7, tied=True),
}


def tokens_for(count: int) -> list[int]:
    return [int(t) for t in np.random.default_rng(5).integers(0, VOCABULARY, count)]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_computes_what_llama_cpp_does(name: str, tmp_path: Path) -> None:
    path = str(write_tiny(tmp_path / "tiny.gguf", FAMILIES[name]))
    tokens = tokens_for(150)
    engine = load(path, context_tokens=512, memory_bytes=64 << 20, threads=2)
    ours = engine.forward([BatchRow(0, tokens, 0, 0)]).array.copy()
    engine.close()
    oracle = Oracle(path, context=512)
    theirs = oracle.logits(tokens)
    oracle.close()
    scale = float(theirs.std())
    # Keys and values are stored in half precision by both, weights are float32: rounding is all that differs.
    assert np.abs(ours - theirs).max() < 0.02 * scale
    if "linear" not in name:
        assert np.abs(ours - FloatReference(path).logits(tokens)).max() < 0.02 * scale


def test_part_of_a_head_may_rotate(tmp_path: Path) -> None:
    tiny = Tiny("qwen2", head_dim=32, overrides={"qwen2.rope.dimension_count": 16})  # llama.cpp refuses it
    path = str(write_tiny(tmp_path / "tiny.gguf", tiny))
    engine = load(path, context_tokens=512, memory_bytes=64 << 20, threads=2)
    ours = engine.forward([BatchRow(0, tokens_for(60), 0, 0)]).array.copy()
    engine.close()
    exact = FloatReference(path).logits(tokens_for(60))
    assert np.abs(ours - exact).max() < 0.02 * float(exact.std())


def test_shards_are_one_model(tmp_path: Path) -> None:
    whole = write_tiny(tmp_path / "whole.gguf", Tiny(seed=3))
    write_tiny(tmp_path / "parts.gguf", Tiny(seed=3), tensors_per_shard=6)
    first = sorted(tmp_path.glob("parts-00001-of-*.gguf"))
    assert len(first) == 1
    logits = []
    for path in (whole, *first):
        engine = load(str(path), context_tokens=64, memory_bytes=8 << 20, threads=1)
        logits.append(engine.forward([BatchRow(0, tokens_for(10), 0, 0)]).array.tobytes())
        engine.close()
    assert logits[0] == logits[1]


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_a_weight_type_stays_near_float32(kind: str, tmp_path: Path) -> None:
    # Rows of 64 values and of 96: whole blocks, but not of the K types, which the kernels' own tests cover.
    path = str(write_tiny(tmp_path / "tiny.gguf", Tiny("qwen2", weights=getattr(Kind, kind))))
    tokens = tokens_for(60)
    engine = load(path, context_tokens=512, memory_bytes=64 << 20, threads=2)
    ours = engine.forward([BatchRow(0, tokens, 0, 0)]).array.copy()
    engine.close()
    exact = FloatReference(path).logits(tokens)
    assert np.abs(ours - exact).max() < 0.1 * float(exact.std())


@pytest.mark.parametrize(
    ("tiny", "changes", "message"),
    [
        (Tiny("mamba"), {}, "architecture 'mamba'"),
        (Tiny(), {"without": "blk.1.ffn_up.weight"}, "'blk.1.ffn_up.weight' is missing"),
        (Tiny(), {"without": "output_norm.weight"}, "'output_norm.weight' is missing"),
        (Tiny(), {"extra": "blk.0.attn_sinks.weight"}, "'blk.0.attn_sinks.weight' has no place"),
        (Tiny(overrides={"llama.block_count": 0}), {}, "block_count"),
        (Tiny(overrides={"llama.block_count": 65536}), {}, "block_count"),
        (Tiny(overrides={"llama.block_count": 3}), {}, "blk.2"),
        (Tiny(overrides={"llama.block_count": 1}), {}, "blk.1"),
        (Tiny(overrides={"llama.block_count": "two"}), {}, "block_count"),
        (Tiny(overrides={"llama.embedding_length": None}), {}, "embedding_length"),
        (Tiny(overrides={"llama.embedding_length": 63}), {}, "token_embd|attn"),
        (Tiny(overrides={"llama.feed_forward_length": 97}), {}, "ffn_gate"),
        (Tiny(overrides={"llama.attention.head_count": 0}), {}, "head_count"),
        (Tiny(overrides={"llama.attention.head_count": 3}), {}, "heads"),
        (Tiny(overrides={"llama.attention.head_count_kv": [2, 1]}), {}, "differs between layers"),
        (Tiny(overrides={"llama.attention.key_length": 24}), {}, "24 dimensions|different lengths"),
        (Tiny(overrides={"llama.rope.scaling.type": "ntk"}), {}, "ntk"),
        (Tiny(overrides={"llama.expert_count": 8}), {}, "expert_used_count"),
        (Tiny(overrides={"llama.context_length": 2**31}), {}, "context_length"),
        (Tiny(overrides={"llama.attention.layer_norm_rms_epsilon": float("nan")}), {}, "finite"),
        (Tiny(overrides={"llama.rope.freq_base": -1.0}), {}, "base frequency"),
        (Tiny("gemma3", overrides={"gemma3.attention.sliding_window": 2**30}), {}, "sliding_window"),
        (Tiny(head_dim=8), {}, "8 dimensions"),
    ],
)
def test_what_the_engine_cannot_run_is_refused_by_name(
    tiny: Tiny, changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    without, extra = changes.get("without", ""), changes.get("extra", "")
    path = write_tiny(tmp_path / "tiny.gguf", tiny, without=without, extra=extra)
    with pytest.raises(ModelLoadFailed, match=message):
        load(str(path), context_tokens=512, memory_bytes=64 << 20, threads=1)


def test_a_refusal_names_the_engine_that_may_do(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny("mamba"))
    with pytest.raises(ModelLoadFailed, match=re.escape(install_command("llamacpp"))):
        load(str(path), context_tokens=512, memory_bytes=64 << 20, threads=1)
