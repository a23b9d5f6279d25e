"""Loading bytes that nobody vouches for."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from myna.core.errors import ModelLoadFailed
from myna.engines.base import BatchRow
from myna.engines.native import load


def attempt(path: Path, content: bytes) -> str:
    """Load and run the bytes; the refusal's words, or nothing."""
    path.write_bytes(content)
    try:
        engine = load(str(path), context_tokens=64, memory_bytes=8 << 20, threads=1)
    except ModelLoadFailed as exc:
        return exc.message
    engine.forward([BatchRow(0, [1, 2, 3], 0, 2)])
    engine.close()
    return ""


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """An allocation of tens of gigabytes fails here instead of on the user's machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (32 << 30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
