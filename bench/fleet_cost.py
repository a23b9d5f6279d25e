"""What a token costs a server of a fleet: its processor time, compared with that of workers of its own.

    PYTHONPATH=src:. python bench/fleet_cost.py --streams 48

Two replicas of the fake engine on a Ray cluster of this machine take 20 ms a step; all streams run at once.
What the process takes while no request runs (Ray's own threads) is measured first, and subtracted. HTTP is
not in it: that costs the same with any engine (`bench/overhead.py`). Needs what `make test-fleet` installs.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from functools import partial
from pathlib import Path

from tests.fleet.on_ray.machine import machine

from myna.core.events import TextDelta
from myna.core.requests import GenerationRequest, Sampling
from myna.engines import fake
from myna.fleet.config import FleetModelConfig, ReplicaSpec
from myna.fleet.front import FleetConnection
from myna.fleet.token import use_token
from myna.scheduling.admission import QueueLimits
from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec

PORT = 6392
NUM_REPLICAS = 2


async def tokens_of(client: WorkerClient, number: int, num_tokens: int) -> int:
    prompt = tuple(fake.tokenize(f"{number} [[slow 20]]", parse_special=True))
    request = GenerationRequest(
        str(number), prompt, num_tokens, sampling=Sampling(temperature=0), ignore_eos=True
    )
    stream = await client.generate(request)
    return sum([event.num_tokens async for event in stream if isinstance(event, TextDelta)])


async def cost_us(clients: Sequence[WorkerClient], options: argparse.Namespace) -> dict[str, float]:
    """Of streams over all of the clients."""

    async def streams(num_tokens: int) -> int:
        running: list[Awaitable[int]] = [
            tokens_of(clients[number % len(clients)], number, num_tokens) for number in range(options.streams)
        ]
        return sum(await asyncio.gather(*running))

    await streams(20)
    idle, began = time.process_time(), time.monotonic()
    await asyncio.sleep(options.idle)
    idle_share = (time.process_time() - idle) / (time.monotonic() - began)
    busy, began = time.process_time(), time.monotonic()
    num_tokens = await streams(options.tokens)
    lasted = time.monotonic() - began
    spent = time.process_time() - busy
    return {
        "tokens": num_tokens,
        "tokens per second": round(num_tokens / lasted, 1),
        "us per token": round(1e6 * (spent - idle_share * lasted) / num_tokens, 1),
        "us per token, idle included": round(1e6 * spent / num_tokens, 1),
        "idle, share of a core": round(idle_share, 4),
    }


async def in_the_fleet(options: argparse.Namespace) -> dict[str, float]:
    from myna.fleet.on_ray.replicas import RayReplicas

    replicas = await asyncio.to_thread(RayReplicas, "fake")
    client = WorkerClient(
        WorkerSpec("fleet", "fake"), QueueLimits(), connect=partial(FleetConnection, "fake", replicas)
    )
    await client.start()
    try:
        return await cost_us([client], options)
    finally:
        await client.aclose()


async def of_its_own(options: argparse.Namespace) -> dict[str, float]:
    clients = [WorkerClient(WorkerSpec("fake", "fake")) for _ in range(NUM_REPLICAS)]
    await asyncio.gather(*(client.start() for client in clients))
    try:
        return await cost_us(clients, options)
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=400, help="of each stream")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds without requests")
    options = parser.parse_args()
    report = {"workers of its own": asyncio.run(of_its_own(options))}
    with tempfile.TemporaryDirectory(prefix="myna-fleet-") as name:
        folder = Path(name)
        use_token(folder / "token")
        with machine(folder / "head.log", "--head", f"--port={PORT}", "--include-dashboard=false"):
            from myna.fleet.on_ray import cluster

            cluster.connect(f"127.0.0.1:{PORT}")
            config = FleetModelConfig(engine="fake", replicas=NUM_REPLICAS, cpus=0.5)
            cluster.deploy({"fake": config}, {"fake": ReplicaSpec("fake", "fake", "fake", "")})
            while cluster.state().models.get("fake") != {"RUNNING": NUM_REPLICAS}:
                time.sleep(0.1)
            report["replicas of a fleet"] = asyncio.run(in_the_fleet(options))
            cluster.leave()
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
