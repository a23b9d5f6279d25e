"""A worker that starts processes of its own: all of them end with it, however it ends."""

import asyncio
import os
import select
import signal
import sys
from pathlib import Path

import pytest

import myna
from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec
from myna.workers.process_tree import process_tree
from myna.workers.program import WorkerProgram

_FOLDERS = (Path(__file__).parent, Path(myna.__file__).parents[1])
FAMILY = WorkerProgram(
    sys.executable,
    "family",
    {"PYTHONPATH": os.pathsep.join(map(str, _FOLDERS))},
    is_confined=False,
    has_processes=True,
    exit_s=30,
)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="process files are Linux's")
@pytest.mark.parametrize("is_killed", [False, True], ids=["unloaded", "killed"])
async def test_what_a_worker_started_ends_with_it(is_killed: bool) -> None:
    client = WorkerClient(WorkerSpec("family", "nowhere"), program=FAMILY)
    await client.start()
    assert client.pid is not None
    child = int(client.info.arithmetic)
    assert process_tree(client.pid) == [client.pid, child]
    assert os.getsid(client.pid) == client.pid
    file = os.pidfd_open(child)
    try:
        if is_killed:
            os.kill(client.pid, signal.SIGKILL)
        else:
            await client.aclose()
        # The bound is for failures only.
        ended, _, _ = await asyncio.to_thread(select.select, [file], [], [], 60)
        assert ended
    finally:
        await client.aclose()
        os.close(file)


def test_a_process_that_is_gone_has_no_tree() -> None:
    assert process_tree(1 << 30) == [1 << 30]
