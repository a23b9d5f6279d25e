"""What a model file says of its needs, and what a process holds."""

import os
from collections.abc import Callable
from pathlib import Path

from myna.backends.worker.model_size import model_size
from myna.backends.worker.process_memory import process_bytes
from myna.core.backend import ModelSize
from myna.prompts.gguf import read_header


def test_a_model_says_what_it_needs(model_path: Callable[[str], Path]) -> None:
    path = model_path("smollm2-135m-instruct")
    size = model_size(read_header(path), [path])
    assert size == ModelSize(98_362_432, 2 * 30 * 3 * (64 + 64), 8192)


def test_a_process_that_has_ended_holds_nothing() -> None:
    assert process_bytes(os.getpid()) > 1 << 20
    assert process_bytes(None) == process_bytes(1 << 30) == 0
