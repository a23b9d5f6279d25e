"""vLLM's processes end with the worker, and the worker with the server, however each of them ends."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest
from tests.contract.rows import Row, Setup
from tests.vllm.conftest import tiny_spec

from myna.core.errors import EngineDead, ModelLoadFailed
from myna.core.events import TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.scheduling.admission import QueueLimits
from myna.workers.client import WorkerClient
from myna.workers.process_tree import process_tree
from myna.workers.program import WorkerProgram

SERVER = Path(__file__).with_name("orphan_server.py")
LONG = GenerationRequest("long", (1, 2, 3), 900, sampling=Sampling(temperature=0), ignore_eos=True)


@contextmanager
def watched(pids: list[int]) -> Iterator[list[int]]:
    """Process files, which become readable when their processes have ended."""
    files = [os.pidfd_open(pid) for pid in pids]
    try:
        yield files
    finally:
        for file in files:
            os.close(file)


def all_end(files: list[int]) -> bool:
    """Whether all of these processes end; the bound is for failures only."""
    return all(select.select([file], [], [], 60)[0] for file in files)


@asynccontextmanager
async def running(program: WorkerProgram, folder: Path) -> AsyncIterator[tuple[WorkerClient, list[int]]]:
    client = WorkerClient(tiny_spec(folder, Setup()), QueueLimits(), program=program)
    await client.start()
    try:
        assert client.pid is not None
        tree = process_tree(client.pid)
        assert len(tree) >= 3, "vLLM has an engine and a worker of its own"
        yield client, tree
    finally:
        await client.aclose()


async def test_unloading_ends_all_processes(vllm_program: WorkerProgram, tiny_folder: Path) -> None:
    async with running(vllm_program, tiny_folder) as (client, tree):
        with watched(tree) as files:
            await client.aclose()
            assert all_end(files)


@pytest.mark.parametrize("victim", [0, -2, -1], ids=["worker", "engine", "engines-worker"])
async def test_whichever_process_is_killed_all_end_and_the_worker_starts_again(
    vllm_program: WorkerProgram, tiny_folder: Path, victim: int
) -> None:
    async with running(vllm_program, tiny_folder) as (client, tree):
        vllms = [pid for pid in tree if psutil.Process(pid).name().startswith("VLLM")]
        with watched(tree) as files:
            stream = await client.generate(LONG)
            while not isinstance(await anext(stream), TextDelta):
                pass
            collected = await client.generate(msgspec.structs.replace(LONG, max_tokens=8, is_collected=True))
            os.kill(tree[0] if victim == 0 else vllms[victim], signal.SIGKILL)
            with pytest.raises(EngineDead):
                [event async for event in stream]
            assert all_end(files)
        assert [event async for event in collected], "what nobody has read yet runs again"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="process files are Linux's")
def test_killing_the_server_ends_them_too(vllm_program: WorkerProgram, tiny_folder: Path) -> None:
    program = msgspec.json.encode(vllm_program).decode()
    command = [sys.executable, str(SERVER), program, str(tiny_folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        with watched([int(pid) for pid in server.stdout.readline().split()]) as files:
            assert len(files) >= 3
            server.send_signal(signal.SIGKILL)
            assert all_end(files)


async def test_an_unknown_option_is_named(vllm_program: WorkerProgram, tiny_folder: Path) -> None:
    spec = msgspec.structs.replace(tiny_spec(tiny_folder, Setup()), options={"enforce_eagre": True})
    client = WorkerClient(spec, QueueLimits(), program=vllm_program)
    with pytest.raises(ModelLoadFailed, match="did you mean enforce_eager"):
        await client.start()


async def test_a_model_that_vllm_cannot_load_is_an_error(
    vllm_program: WorkerProgram, tiny_folder: Path
) -> None:
    spec = msgspec.structs.replace(tiny_spec(tiny_folder, Setup()), memory_bytes=1)
    client = WorkerClient(spec, QueueLimits(), program=vllm_program)
    with pytest.raises(ModelLoadFailed, match="vLLM can't load the model"):
        await client.start()


async def test_the_same_seed_gives_the_same_answer_alone(row: Row) -> None:
    """Beside others it may differ: vLLM is not batch-invariant."""
    async with row.open(Setup(), Path) as subject:
        answers = [await subject.ask("A seed", 20, sampling=subject.hot(), num_choices=2) for _ in range(2)]
        assert answers[0].texts() == answers[1].texts()
