"""What a model file says of its needs, and what a process holds."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engines.gemma_layouts import gemma4
from tests.engines.tiny_models import Tiny, write_tiny

from myna import _native
from myna.backends.worker.model_size import PACKING, model_size
from myna.backends.worker.process_memory import process_bytes
from myna.engines.native import load
from myna.prompts.ggml_types import BLOCKS
from myna.prompts.gguf import read_header


def test_a_model_says_what_it_needs(model_path: Callable[[str], Path]) -> None:
    path = model_path("smollm2-135m-instruct")
    size = model_size(read_header(path), [path], is_packed=True)
    assert (size.weights_bytes, size.kv_token_bytes) == (96_576_768, 2 * 30 * 3 * (64 + 64))
    assert (size.context_tokens, size.state_bytes) == (8192, 0)
    whole = model_size(read_header(path), [path], is_packed=False)
    assert whole.weights_bytes == path.stat().st_size


def test_all_shards_count(tmp_path: Path) -> None:
    whole = write_tiny(tmp_path / "whole.gguf", Tiny())
    write_tiny(tmp_path / "split.gguf", Tiny(), tensors_per_shard=3)
    shards = sorted(tmp_path.glob("split-*"))
    assert len(shards) > 1
    split = model_size(read_header(shards[0]), shards, is_packed=True)
    assert split == model_size(read_header(whole), [whole], is_packed=True)


def test_layers_may_differ_in_their_heads_or_have_no_keys(tmp_path: Path) -> None:
    tiny = [Tiny("gemma4"), Tiny("gemma4", variant=gemma4(96, shared=3, inputs=16)), Tiny("deepseek2")]
    for model in tiny:
        path = write_tiny(tmp_path / "tiny.gguf", model)
        size = model_size(read_header(path), [path], is_packed=True)
        # What the engine says: how many blocks of 16 positions fit into so much memory.
        engine = load(str(path), context_tokens=4096, memory_bytes=1 << 20, threads=1)
        assert engine.info.kv_tokens == (1 << 20) // (16 * size.kv_token_bytes) * 16
        engine.close()


def test_packed_weights_take_what_the_engine_says() -> None:
    found = _native.tensor_types()
    for name, packed in found.items():
        stored = next(size / values for other, values, size in BLOCKS.values() if other == name)
        assert packed == pytest.approx(stored * PACKING.get(name, 1), rel=0.1), (name, packed / stored)
    assert PACKING.keys() <= found.keys()


def test_a_process_that_has_ended_holds_nothing() -> None:
    assert process_bytes(os.getpid()) > 1 << 20
    assert process_bytes(None) == process_bytes(1 << 30) == 0
