"""A server for `test_lives.py` to kill: starts a worker, prints the ids of its processes, and lives on.

Arguments: the worker's program as JSON, and the model's folder."""

import asyncio
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.contract.rows import Setup
from tests.vllm.conftest import tiny_spec

from myna.workers.client import WorkerClient
from myna.workers.process_tree import process_tree
from myna.workers.program import WorkerProgram


async def main() -> None:
    program = msgspec.json.decode(sys.argv[1], type=WorkerProgram)
    client = WorkerClient(tiny_spec(Path(sys.argv[2]), Setup()), program=program)
    await client.start()
    assert client.pid is not None
    print(*process_tree(client.pid), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
