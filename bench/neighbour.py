"""Myna's speed over HTTP while another process keeps one core busy: with and without it, taking turns.

    python bench/neighbour.py --model smollm2-135m-instruct --out bench/reports/neighbour.json single many

The result is the median ratio of disturbed to undisturbed over the rounds, with its quartiles.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from compare import METRIC, free_port, measure, processor, server


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """A process that keeps one core busy, like another user of a shared machine."""
    spin = f"import os\nos.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", spin])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="+", choices=["single", "many", "prefill", "fanout"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--myna", default=str(Path(sys.executable).with_name("myna")))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--timeout", type=float, default=600, help="time limit in seconds for one scenario")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    port, report = free_port(), {"model": args.model, "processor": processor()}
    with server("myna", [args.myna, "serve", args.model, "--port", str(port)], port, "/ready") as myna:
        for scenario in args.scenario:
            rounds = []
            for _ in range(args.rounds):
                alone = measure(myna, args, scenario)[METRIC[scenario]]
                with neighbour():
                    rounds.append((measure(myna, args, scenario)[METRIC[scenario]], alone))
            ratios = [disturbed / alone for disturbed, alone in rounds]
            low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            report[scenario] = {
                "ratio_median": round(middle, 3),
                "ratio_iqr": [round(low, 3), round(high, 3)],
                "rounds": rounds,
            }
            print(scenario, json.dumps(report[scenario]), flush=True)
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
