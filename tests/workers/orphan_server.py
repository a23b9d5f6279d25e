"""A server for `test_orphans.py` to kill: starts a worker, prints its process id, and lives on.

Arguments: the model's name and, optionally, `loading` to print the id before the model is loaded.
"""

import asyncio
import sys

from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec


async def main() -> None:
    client = WorkerClient(WorkerSpec("fake", sys.argv[1]))
    starting = asyncio.create_task(client.start())
    if sys.argv[2:] == ["loading"]:
        await asyncio.sleep(0)
    else:
        await starting
    print(client.pid, flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
