"""What a model file says of its needs, and what a process holds."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from myna import _native
from myna.backends.worker.model_size import PACKING, model_size
from myna.backends.worker.process_memory import process_bytes
from myna.core.backend import ModelSize
from myna.prompts.ggml_types import BLOCKS
from myna.prompts.gguf import read_header


def test_a_model_says_what_it_needs(model_path: Callable[[str], Path]) -> None:
    path = model_path("smollm2-135m-instruct")
    size = model_size(read_header(path), [path], is_packed=True)
    assert size == ModelSize(98_362_432, 2 * 30 * 3 * (64 + 64), 8192)


def test_packed_weights_take_what_the_engine_says() -> None:
    found = _native.tensor_types()
    for name, packed in found.items():
        stored = next(size / values for other, values, size in BLOCKS.values() if other == name)
        assert packed == pytest.approx(stored * PACKING.get(name, 1), rel=0.1), (name, packed / stored)
    assert PACKING.keys() <= found.keys()


def test_a_process_that_has_ended_holds_nothing() -> None:
    assert process_bytes(os.getpid()) > 1 << 20
    assert process_bytes(None) == process_bytes(1 << 30) == 0
