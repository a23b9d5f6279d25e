"""Mixed requests for as long as you like: whether memory and descriptors grow, and whether anything is lost.

    PYTHONPATH=src:. python bench/soak.py --minutes 480

The clients and checks of `chaos.py`, without faults unless `--faults` names some. Every minute prints what
the server uses; the report compares the medians of the first and the last fifth of the minutes.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import count

from bench.chaos import (
    KEY,
    MODEL,
    SETTLE_S,
    Server,
    Use,
    compare_ledger,
    faults_until,
    finish,
    options_of,
    prepared,
)
from bench.chaos_client import Clients
from bench.chaos_faults import Place


def numbers_for(minutes: float) -> Iterator[int]:
    ends = time.monotonic() + minutes * 60
    for number in count():
        if time.monotonic() > ends:
            return
        yield number


async def watch(pid: int, clients: Clients, uses: list[Use]) -> None:
    while True:
        await asyncio.sleep(60)
        uses.append(Use.of(pid))
        print(f"{len(uses):5} min  {len(clients.sent):8} requests  {vars(uses[-1])}", flush=True)


def medians(uses: list[Use]) -> dict[str, float]:
    return {name: statistics.median(getattr(use, name) for use in uses) for name in Use.__annotations__}


async def run(options: argparse.Namespace, server: Server, place: Place) -> dict[str, object]:
    host, _, port = server.url.removeprefix("http://").removesuffix("/v1").partition(":")
    place.proxy.target = (host, int(port))
    clients = Clients(await place.proxy.start(), KEY, MODEL, place.random, prefix="soak")
    uses: list[Use] = []
    done = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch(place.pid, clients, uses))
        if options.faults:
            tasks.create_task(faults_until(done, place, options.faults))
        await clients.run(numbers_for(options.minutes), options.clients, 0)
        done.set()
        watching.cancel()
    await asyncio.sleep(SETTLE_S)  # the ledger writes in batches
    fifth = max(1, len(uses) // 5)
    return {
        "minutes": options.minutes,
        "requests": len(clients.sent),
        "ends": dict(clients.ends.most_common()),
        "ledger": await compare_ledger(server, clients.sent),
        "first fifth": medians(uses[:fifth]) if uses else {},
        "last fifth": medians(uses[-fifth:]) if uses else {},
        "tracebacks": sum("Traceback" in line for line in server.log),
    }


def main() -> int:
    parser = options_of(__doc__)
    parser.set_defaults(faults=[])
    options = parser.parse_args()
    with prepared(options, disk_mb=0) as (server, place):
        report = asyncio.run(run(options, server, place))
    return finish(report, server, options)


if __name__ == "__main__":
    sys.exit(main())
