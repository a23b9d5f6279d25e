"""A KV cache in 8 bits: close to the one in 16, with a name and a size of its own, and the same bits
however it is used."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.engines.divergence import divergences
from tests.engines.gemma_layouts import gemma4
from tests.engines.texts import MIXED
from tests.engines.tiny_models import Tiny, write_tiny

from myna.backends.worker.model_size import model_size
from myna.engines.base import BatchRow
from myna.engines.native import NativeEngine, load
from myna.prompts.gguf import read_header
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary

ModelPath = Callable[[str], Path]
MODEL = "smollm2-135m-instruct"
# The mean, in nats. Large biases of keys (Qwen2.5) cost much more.
MOST_KL = {MODEL: 0.005, "gemma-3-270m": 0.01, "qwen2.5-coder-0.5b-instruct": 0.1}


def opened(path: Path, kv_cache_type: str, memory_bytes: int = 64 << 20) -> NativeEngine:
    return load(
        str(path),
        context_tokens=1024,
        memory_bytes=memory_bytes,
        threads=2,
        kv_cache_type=kv_cache_type,
    )


@pytest.fixture(scope="module")
def small(model_path: ModelPath) -> Iterator[NativeEngine]:
    engine = opened(model_path(MODEL), "q8_0")
    yield engine
    engine.close()


def test_it_holds_almost_twice_the_tokens_under_another_name(
    small: NativeEngine, model_path: ModelPath
) -> None:
    usual = opened(model_path(MODEL), "auto")
    assert small.info.kv_tokens > 1.85 * usual.info.kv_tokens
    assert small.info.arithmetic == usual.info.arithmetic + "-q8_0"
    assert small.is_batch_invariant
    usual.close()


@pytest.mark.parametrize("model", MOST_KL)
def test_its_logits_are_close_to_those_of_16_bits(model: str, model_path: ModelPath) -> None:
    path = model_path(model)
    tokens = Tokenizer(Vocabulary.of(read_header(path))).encode(MIXED, parse_special=False)
    if model.startswith("gemma"):
        tokens.insert(0, 2)
    found = []
    for kv_cache_type in ("auto", "q8_0"):
        engine = opened(path, kv_cache_type)
        found.append(engine.forward([BatchRow(0, tokens, 0, 0)]).array.copy())
        engine.close()
    usual, ours = found
    assert len(tokens) > 100
    assert 0 < divergences(usual, ours).mean() < MOST_KL[model]


TINY = {
    "a usual model": Tiny(head_dim=64),
    "heads that are no multiple of 32": Tiny(head_dim=80),
    "small heads": Tiny(head_dim=16),
    "biases": Tiny("qwen2", head_dim=32),
    "windows": Tiny("gemma3"),
    "layers with different heads": Tiny("gemma4"),
    "shared keys": Tiny("gemma4", variant=gemma4(96, shared=3, inputs=16)),
    "latent attention": Tiny("deepseek2"),
    "recurrent layers": Tiny("lfm2"),
}


@pytest.mark.parametrize("name", TINY)
def test_every_kind_of_attention_has_it(name: str, tmp_path: Path) -> None:
    """The size is as predicted, and the bits are the same however the prompt is divided."""
    path = write_tiny(tmp_path / "tiny.gguf", TINY[name])
    header = read_header(path)
    size = model_size(header, [path], is_packed=True, kv_cache_type="q8_0")
    engine, usual = opened(path, "q8_0", 4 << 20), opened(path, "auto", 4 << 20)
    if engine.blocks is not None:
        assert engine.blocks.block_bytes == pytest.approx(16 * size.kv_token_bytes, rel=0.1)
    tokens = [int(token) for token in np.random.default_rng(3).integers(0, engine.info.vocab_size, 50)]
    whole = engine.forward([BatchRow(0, tokens, 0, 0)]).array.copy()
    engine.forward([BatchRow(1, tokens[:20], 0, 20), BatchRow(2, tokens[:33], 0, 33)])
    parts = engine.forward([BatchRow(1, tokens[20:], 20, 0), BatchRow(2, tokens[33:], 33, 0)]).array
    assert parts.tobytes() == whole[20:].tobytes() + whole[33:].tobytes()
    exact = usual.forward([BatchRow(0, tokens, 0, 0)]).array
    difference = np.abs(exact - whole).mean()  # single rows may choose another expert
    assert 0 < difference < 0.1 * np.abs(exact).mean()
    engine.close()
    usual.close()


def test_saved_blocks_are_restored_bit_by_bit(small: NativeEngine) -> None:
    blocks, tokens = small.blocks, list(range(300, 380))
    assert blocks is not None
    expected = small.forward([BatchRow(0, tokens, 0, 79)]).array.copy()
    data = np.zeros(4 * blocks.block_bytes, np.uint8)
    blocks.read_blocks(0, 0, data)
    small.free(0)
    small.forward([BatchRow(1, tokens[:5], 0, 4)])  # takes a freed block
    blocks.append_blocks(0, data)
    assert small.forward([BatchRow(0, tokens[64:], 64, 15)]).array.tobytes() == expected.tobytes()
    small.free(0)
    small.free(1)
