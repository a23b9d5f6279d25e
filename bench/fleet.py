"""A fleet of four machines while everything goes wrong; at the end, whether anything was lost. Root only.

    PYTHONPATH=src:. python bench/fleet.py --minutes 10
    PYTHONPATH=src:. python bench/fleet.py --minutes 3 --clients 8 --pause 30
    PYTHONPATH=src:. python bench/fleet.py --conversations 100 --clients 8    # prefixes instead of faults

The machines are namespaces: Ray's head, two with room for three replicas of the small model each, and one for
two servers on a PostgreSQL. Faults follow each other. Then: each request must have ended, none with an error
but those whose own server was killed; no stream may have been silent for 6 s; every answer must be the one
that was given before the faults; 5 s after a server's death nothing of it may run; the ledger must agree
with the usage that clients were sent. Needs what `make test-fleet` installs, `iproute2` and PostgreSQL.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from bench.chaos_client import ledger_rows
from bench.fleet_clients import FleetClients, Sent, questions
from bench.fleet_faults import FAULTS, Fleet, Recovery
from bench.fleet_hosts import four_hosts
from bench.fleet_prefixes import conversations
from tests.stores.postgresql import running_cluster

import myna

KEY = "sk-bench-0123456789abcdef"
MODEL = "smollm2-135m-instruct"
SILENCE_S = 6.0
LEASES_END_WITHIN_S = 90.0


@contextmanager
def running_fleet(options: argparse.Namespace) -> Iterator[Fleet]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="myna-fleet-")))
        if options.keep_logs:
            folder = options.keep_logs
            folder.mkdir(parents=True)
        database = stack.enter_context(running_cluster()).new_database()
        token = folder / "token"
        token.write_text("0123456789abcdef" * 4)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MYNA_")}
        environment |= {
            "PYTHONPATH": str(Path(myna.__file__).parents[1]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "MYNA_CONFIG": str(folder / "myna.toml"),
            "MYNA_DATABASE": database,
            "MYNA_API_KEY": KEY,
        }
        hosts = stack.enter_context(four_hosts(folder, environment))
        model = options.models / f"{MODEL}.gguf"
        fleet = Fleet(folder, hosts, MODEL, model, random.Random(options.seed))
        stack.callback(fleet.close)
        fleet.deploy()
        for front in fleet.fronts:
            front.start()
        for front in fleet.fronts:
            front.wait_until_ready()
        yield fleet


async def references(clients: FleetClients, what: list) -> dict[int, dict[tuple[int, str], str]]:  # type: ignore[type-arg]
    """Each question's answer; asked at both servers, which must agree."""
    async with clients.http() as http:
        pairs = [
            await asyncio.gather(*(clients.ask(http, question, server) for server in (0, 1)))
            for question in what
        ]
    for one, other in pairs:
        assert one.end == other.end == "answer", (one, other)
        assert one.parts == other.parts, (one, other)
    clients.sent.clear()
    return {one.question.number: one.parts for one, _ in pairs}


async def faults_until(
    ends: float, fleet: Fleet, clients: FleetClients, options: argparse.Namespace
) -> list[Recovery]:
    """One after the other; a fault that lasts longer than the pause delays the next."""
    found: list[Recovery] = []
    if not options.faults:
        await asyncio.sleep(ends - time.monotonic())
    while options.faults:
        for name in options.faults:
            began = time.monotonic()
            if began > ends - options.pause / 2:
                return found
            print(f"{time.strftime('%H:%M:%S')}  {name}", flush=True)
            found.append(await FAULTS[name](fleet, clients))
            print(f"{time.strftime('%H:%M:%S')}  {found[-1].shown}", flush=True)
            await asyncio.sleep(max(0.0, min(began + options.pause, ends) - time.monotonic()))
    return found


async def until_written(fleet: Fleet) -> None:
    """Rows are written some time after their answers."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
        for front in fleet.fronts:
            while "\nmyna_ledger_waiting_rows 0.0\n" not in (await http.get(f"{front.url}/metrics")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.2)


async def compare_ledger(fleet: Fleet, sent: list[Sent]) -> dict[str, object]:
    """Rows against what clients were sent: the usage of answers, events of streams that were cut."""
    await until_written(fleet)
    rows: dict[str, list[dict[str, object]]] = {}
    async for row in ledger_rows(f"{fleet.fronts[0].url}/v1", KEY):
        rows.setdefault(str(row["user_id"]), []).append(row)
    counts: Counter[str] = Counter()
    for one in sent:
        found = rows.pop(one.user, [])
        counts["with several rows"] += len(found) > 1
        if one.end == "answer":
            counts["answers without a row"] += not found
            counts["answers with other tokens"] += bool(found) and found[0]["output_tokens"] != one.tokens
        elif one.events:
            tokens = int(str(found[0]["output_tokens"])) if found else 0
            counts["cut, with fewer tokens than were sent"] += tokens < one.events
            counts["cut, with over 140 more"] += tokens > one.events + 140 * one.num_sequences
    return {"answers": sum(one.end == "answer" for one in sent), **counts}


def share_of(one: Sent, recoveries: list[Recovery]) -> str:
    """Whether a broken connection is explained by its server's death."""
    killed = any(
        fault.server == one.server and one.started - 1 <= fault.at <= one.ended + 1
        for fault in recoveries
        if fault.server is not None
    )
    return "its server was killed" if killed else f"{one.end} {one.detail}"


def report_of(
    fleet: Fleet,
    clients: FleetClients,
    known: dict[int, dict[tuple[int, str], str]],
    recoveries: list[Recovery],
) -> dict[str, object]:
    sent = clients.sent
    for fault, following in zip(recoveries, [*recoveries[1:], None], strict=True):
        until = following.at if following else float("inf")
        silences = [one.silence_s for one in sent if fault.at <= one.silent_at + one.silence_s < until]
        firsts = [one.first_s for one in sent if fault.at - 6 <= one.started < until]
        fault.silence_s, fault.first_s = max(silences, default=0.0), max(firsts, default=0.0)
    answers = [one for one in sent if one.end == "answer"]
    bad = Counter(share_of(one, recoveries) for one in sent if one.end != "answer")
    return {
        "started": len(clients.by_user),
        "ended": len(sent),
        "kinds": dict(Counter(one.question.kind for one in answers)),
        "ends": dict(Counter(one.end for one in sent)),
        "not answered": dict(bad),
        "silent for more than 6 s": sum(one.silence_s > SILENCE_S for one in sent),
        "longest silence, s": round(max(one.silence_s for one in sent), 1),
        "longest wait for a first event, s": round(max(one.first_s for one in sent), 1),
        "answers that differ": sum(one.parts != known[one.question.number] for one in answers),
        "sequences that ran on": max((one.ran_on for one in recoveries), default=0),
        "faults": [one.shown for one in recoveries],
        "servers, us per token": fleet.front_us(sent),
        "memory, MB": {name: host.memory_mb() for name, host in fleet.hosts.items()},
    }


async def run(options: argparse.Namespace, fleet: Fleet) -> dict[str, object]:
    clients = FleetClients([front.url for front in fleet.fronts], KEY)
    asked = questions(MODEL, options.tokens)
    known = await references(clients, asked)
    clients.by_user.clear()
    fleet.begin_counting()
    print(f"{time.strftime('%H:%M:%S')}  {len(known)} references; {options.clients} clients", flush=True)
    ends = time.monotonic() + options.minutes * 60
    breaking = asyncio.create_task(faults_until(ends, fleet, clients, options))
    await clients.run(asked, options.clients, lambda: not breaking.done())
    report = report_of(fleet, clients, known, await breaking)
    killed = [fault.at for fault in breaking.result() if fault.server is not None]
    if killed:
        await asyncio.sleep(max(0.0, max(killed) + LEASES_END_WITHIN_S - time.monotonic()))
    return report | {"ledger": await compare_ledger(fleet, clients.sent)}


def losses_of(report: dict[str, object]) -> list[str]:
    """What must be 0 and isn't."""
    ledger, cut = report["ledger"], report["not answered"]
    assert isinstance(ledger, dict)
    assert isinstance(cut, dict)
    names = ("silent for more than 6 s", "answers that differ", "sequences that ran on")
    found = [name for name in names if report[name]]
    found += [name for name in cut if name != "its server was killed"]
    found += [name for name, count in ledger.items() if name != "answers" and count]
    return found + ["not ended"] * (report["started"] != report["ended"])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=10.0)
    add("--clients", type=int, default=32)
    add("--pause", type=float, default=45.0, help="seconds from one fault to the next")
    add("--tokens", type=int, default=96, help="of an answer")
    add("--conversations", type=int, help="only measure the caching of so many conversations of 8 turns")
    add("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    add("--seed", type=int, default=7)
    add("--models", type=Path, default=Path.home() / ".local/share/myna/models")
    add("--keep-logs", type=Path, help="a folder for all logs")
    add("--out", type=Path, help="write the report there, as JSON")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no machine is left behind
    with running_fleet(options) as fleet:
        if options.conversations:
            urls = [front.url for front in fleet.fronts]
            report = asyncio.run(conversations(urls, KEY, MODEL, options.conversations, options.clients))
        else:
            report = asyncio.run(run(options, fleet))
            report["missed"] = losses_of(report)
    text = json.dumps(report, indent=2, ensure_ascii=False)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    return bool(report.get("missed"))


if __name__ == "__main__":
    sys.exit(main())
