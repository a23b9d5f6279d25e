"""A worker of vLLM on its build for processors. Skipped unless TEST_VLLM_PYTHON names an interpreter with
vLLM."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from tests.contract.rows import Capability, Encode, FindModel, Row, Setup, Subject
from tests.vllm.folders import make_tiny

from myna.backends.vllm.environment import VllmEnvironment
from myna.core.generator import Generator
from myna.prompts.folder_text import FolderText
from myna.scheduling.admission import QueueLimits
from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec
from myna.workers.program import WorkerProgram
from myna.workers.watchdog import ProgressLimits

_BLOCK_TOKENS: Final = 32
_KV_TOKEN_BYTES: Final = 2 * 2 * 32 * 4  # layers, keys and values, width of the only head, float32
_QUICK: Final = {"enforce_eager": True, "dtype": "float32", "block_size": _BLOCK_TOKENS}
# What depends on what else runs, or on vLLM's own queue.
_LACKS: Final = frozenset((Capability.SEEDS, Capability.FAIRNESS))


@pytest.fixture(scope="session")
def vllm_program(tmp_path_factory: pytest.TempPathFactory) -> WorkerProgram:
    """How workers of vLLM are started."""
    python = os.environ.get("TEST_VLLM_PYTHON", "")
    if not python:
        pytest.skip("TEST_VLLM_PYTHON names no interpreter with vLLM")
    return VllmEnvironment(Path(python), tmp_path_factory.mktemp("home")).program(1, os.environ)


@pytest.fixture(scope="session")
def tiny_folder(model_path: FindModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights in a folder of safetensors."""
    return make_tiny(model_path("smollm2-135m-instruct"), tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def row(vllm_program: WorkerProgram, tiny_folder: Path) -> Row:
    """Takes the place of the contract's rows."""

    async def start(setup: Setup, _: FindModel) -> tuple[Generator, Encode]:
        spec = tiny_spec(tiny_folder, setup)
        limits = QueueLimits(setup.max_waiting_requests)
        client = WorkerClient(spec, limits, program=vllm_program, patience=ProgressLimits(busy=60))
        await client.start()
        tokenizer = FolderText.read(tiny_folder).tokenizer
        return client, lambda text: tokenizer.encode(text, parse_special=False)

    return Row("vllm", start, _LACKS, highest_temperature=2.0)


def tiny_spec(folder: Path, setup: Setup) -> WorkerSpec:
    """The tiny model, with whole blocks of KV cache, and one more, which vLLM keeps for itself."""
    num_blocks = -(-max(setup.kv_tokens, setup.context_tokens) // _BLOCK_TOKENS) + 1
    kv_bytes = num_blocks * _BLOCK_TOKENS * _KV_TOKEN_BYTES
    return WorkerSpec("vllm", str(folder), setup.context_tokens, kv_bytes, threads=1, options=_QUICK)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject(row: Row, model_path: FindModel) -> AsyncIterator[Subject]:
    """A generator that other tests have used: leave nothing running."""
    async with row.open(Setup(), model_path) as opened:
        yield opened
