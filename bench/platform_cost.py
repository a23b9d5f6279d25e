"""What the platform costs: events per second of many streams, with ledger, metrics and limits on and off.

Two servers with the fake engine run the same load alternately, `loadtest.py many` with 64 streams; the ratio
of each pair is the cost of the platform. On a shared machine, wall time is unreliable: `by_cpu` uses the
processor time of server, worker and load generator instead.

    python bench/platform_cost.py --pairs 15 --out bench/reports/platform_cost.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from overhead import KEY, free_port, started

LOADTEST = Path(__file__).with_name("loadtest.py")
OFF = {"MYNA_USAGE": "false", "MYNA_METRICS": "false"}


def cpu_s(pid: int) -> float:
    """Processor time of all threads of the process, with a resolution of nanoseconds."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def family_s(pid: int) -> float:
    """The same, including its worker."""
    children = [
        part
        for task in Path(f"/proc/{pid}/task").iterdir()
        for part in (task / "children").read_text().split()
    ]
    return cpu_s(pid) + sum(cpu_s(int(child)) for child in children)


def load_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def server(port: int) -> list[str]:
    return [sys.executable, "-m", "myna.cli", "serve", "--engine", "fake", "--port", str(port)]


def key_with_limits(home: str, python: str) -> str:
    """A key with limits far above the load, so that every request is counted but none is rejected."""
    command = [python, "-m", "myna.cli"]
    environment = os.environ | {"MYNA_HOME": home}
    made = subprocess.run(
        [*command, "keys", "create", "bench", "--json"], env=environment, check=True, capture_output=True
    )
    key = json.loads(made.stdout)
    limits = ["--requests-per-minute", "1000000", "--tokens-per-minute", "1000000000"]
    limits += ["--tokens-per-day", "100000000000", "--concurrent-requests", "1000"]
    subprocess.run(
        [*command, "limits", "set", "--key", key["id"], *limits],
        env=environment,
        check=True,
        capture_output=True,
    )
    return str(key["value"])


def tokens_per_s(port: int, key: str, streams: int) -> float:
    command = [sys.executable, str(LOADTEST), "many", "--base-url", f"http://127.0.0.1:{port}/v1"]
    command += ["--model", "fake", "--key", key, "--ban", "256", "--concurrency", str(streams)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    row = json.loads(out.splitlines()[-1])
    if row["errors"]:
        raise SystemExit(f"the load failed: {row}")
    return float(row["tokens_per_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--limits", action="store_true", help="use a key with every kind of limit")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    ports = {"off": free_port(), "on": free_port()}
    rates: dict[str, list[float]] = {"off": [], "on": []}
    cpu: dict[str, list[float]] = {"off": [], "on": []}
    everything: dict[str, list[float]] = {"off": [], "on": []}
    with ExitStack() as stack:
        processes, keys = {}, {"off": KEY, "on": KEY}
        for name, port in ports.items():
            home = stack.enter_context(TemporaryDirectory())
            if name == "on" and options.limits:
                keys[name] = key_with_limits(home, sys.executable)
            extra = OFF if name == "off" else {}
            environment = {"MYNA_HOME": home, "MYNA_API_KEY": KEY, "MYNA_LOG_LEVEL": "warning"} | extra
            processes[name] = stack.enter_context(started(server(port), port, **environment))
        for number in range(-1, options.pairs):
            order = ("off", "on") if number % 2 else ("on", "off")
            for name in order:
                before_s = cpu_s(processes[name].pid)
                before_all_s = family_s(processes[name].pid) + load_s()
                rate = tokens_per_s(ports[name], keys[name], options.streams)
                if number >= 0:  # the first pair warms up
                    rates[name].append(rate)
                    cpu[name].append(cpu_s(processes[name].pid) - before_s)
                    everything[name].append(family_s(processes[name].pid) + load_s() - before_all_s)
    ratios = [on / off for on, off in zip(rates["on"], rates["off"], strict=True)]
    report = {
        "streams": options.streams,
        "limits": options.limits,
        "events_per_s": {name: [round(rate) for rate in found] for name, found in rates.items()},
        "ratios": [round(ratio, 3) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 3),
        # Throughput of a saturated machine: events per processor time of server, worker and load generator.
        "median_ratio_by_cpu": round(
            statistics.median(off / on for on, off in zip(everything["on"], everything["off"], strict=True)),
            3,
        ),
        "server_cpu_ratio": round(statistics.median(cpu["on"]) / statistics.median(cpu["off"]), 3),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
