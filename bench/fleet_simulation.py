"""What cannot be run on one machine: the fleet's own router over many replicas, with service times given.

Conversations arrive, each with several turns and pauses between them. A turn's prompt is all that was said;
what is cached at its replica needn't be computed. A replica computes its requests together: prompts one after
the other, and tokens in steps that take longer the more requests there are. In the middle of the run, a share
of the replicas dies; their requests run again elsewhere, and they come back empty.

Myna's router is compared with Ray's: consistent hashing without regard to load, the less busy of two, and the
tree of prefixes, which is assumed to know all of them at once and to cost nothing.

    PYTHONPATH=src:. python bench/fleet_simulation.py --out docs/images/fleet-simulation.svg    # minutes
    PYTHONPATH=src:. python bench/fleet_simulation.py --replicas 50 --requests 40000     # short
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import statistics
import sys
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np

from myna.fleet.routing import PRIME, Rendezvous, hashes, rank

_NUM_KNOWN = 12
POLICIES = ("Myna", "Ray: hash", "Ray: two choices", "Ray: prefixes")


@dataclass
class Replica:
    """`cache` holds tokens by conversation, least recently used first; `prefixes` are those that a tree of
    all prompts would have; `prefill_until` is when its prompts are computed."""

    name: str
    running: int = 0
    served: int = 0
    cached: int = 0
    prefixes: int = 0
    prefill_until: float = 0.0
    generation: int = 0
    cache: OrderedDict[int, int] = field(default_factory=OrderedDict)


class Order(Rendezvous):
    """Remembers the beginning of each conversation's order of all replicas: its turns need it again. Those
    that are not alive are passed over, which gives the order of the others."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(names)
        self._known: dict[str, list[str]] = {}
        self._sorted = [name for _, _, name in self._hashes]
        self._factors, self._offsets = (np.array([one[n] for one in self._hashes], np.uint64) for n in (0, 1))
        self.alive = set(self._names)

    @property
    def num_replicas(self) -> int:
        return len(self.alive)

    def __contains__(self, replica: object) -> bool:
        return replica in self.alive

    def walk(self, session: str) -> Iterator[str]:
        if (known := self._known.get(session)) is None:
            known = self._known[session] = self._beginning(session)
        for name in known:
            if name in self.alive:
                yield name
        for name in islice(super().walk(session), _NUM_KNOWN, None):
            if name in self.alive:
                yield name

    def _beginning(self, session: str) -> list[str]:
        """What `walk` begins with, ten times as fast."""
        points = (self._factors * np.uint64(hashes(session)[0]) + self._offsets) % np.uint64(PRIME)
        return [self._sorted[place] for place in np.argsort(points, kind="stable")[:_NUM_KNOWN]]

    def forget(self, session: str) -> None:
        self._known.pop(session, None)


class HashRing:
    """As `ConsistentHashRouter` does by default: a hundred points for each replica."""

    def __init__(self, names: list[str]) -> None:
        points = sorted((self._hash(f"{name}:{number}"), name) for name in names for number in range(100))
        self._points = [point for point, _ in points]
        self._names = [name for _, name in points]

    def owner(self, session: str, alive: Collection[str]) -> str:
        place = bisect_right(self._points, self._hash(session))
        while (name := self._names[place % len(self._names)]) not in alive:
            place += 1
        return name

    @staticmethod
    def _hash(text: str) -> bytes:
        return blake2b(text.encode(), digest_size=8).digest()


@dataclass
class Result:
    hits: float
    ideal: float
    first_token_s: list[float]
    balance: float
    peak: float
    moved: int
    rerun: int


class Simulation:
    def __init__(self, options: argparse.Namespace, policy: str) -> None:
        self.o, self.policy = options, policy
        self.rng = random.Random(options.seed)
        self.replicas = {f"replica-{n}": Replica(f"replica-{n}") for n in range(options.replicas)}
        self.names = list(self.replicas)
        self.order, self.hash_ring = Order(self.names), HashRing(self.names)
        self.total = 0
        self.events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self.number = 0
        self.home: dict[int, str] = {}
        self.hits = self.ideal = self.prompt = self.moved = self.rerun = self.done = 0
        self.first: list[float] = []
        self.peak = 0.0

    def at(self, when: float, what: Callable[..., None], *args: object) -> None:
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what, args))

    def choose(self, conversation: int) -> Replica:
        return self.replicas[self._chosen(conversation)]

    def _chosen(self, conversation: int) -> str:
        if self.policy == "Myna":
            home = self.home.get(conversation, "")
            return rank(self.order, str(conversation), self._load, self.total, (), home)[0]
        if self.policy == "Ray: hash":
            return self.hash_ring.owner(str(conversation), self.order.alive)
        if self.policy == "Ray: prefixes":
            if (name := self.home.get(conversation, "")) in self.order.alive:
                return name
            return min(self.names, key=self._known_prefixes)
        return min(self.rng.sample(self.names, min(2, len(self.names))), key=self._load)

    def _known_prefixes(self, name: str) -> tuple[int, int]:
        return self.replicas[name].prefixes, self.replicas[name].running

    def _load(self, name: str) -> int:
        return self.replicas[name].running

    def begin(self, now: float, conversation: int, turn: int) -> None:
        o, replica = self.o, self.choose(conversation)
        prompt, answer = turn * (o.question + o.answer) + o.system + o.question, o.answer
        if self.home.setdefault(conversation, replica.name) != replica.name:
            self.moved += 1
            self.home[conversation] = replica.name
        known = min(replica.cache.get(conversation, 0), prompt)
        self.hits += known
        self.ideal += 0 if turn == 0 else prompt - o.question
        self.prompt += prompt
        start = max(now, replica.prefill_until)
        replica.prefill_until = start + (prompt - known) / o.prefill
        replica.running += 1
        replica.prefixes += prompt - (0 if turn == 0 else prompt - o.question)
        self.total += 1
        self.first.append(replica.prefill_until - now)
        step = o.step * (1 + o.slower * replica.running)
        end = replica.prefill_until + answer * step
        self.at(end, self.end, replica.name, replica.generation, conversation, turn, prompt + answer)

    def end(self, now: float, name: str, generation: int, conversation: int, turn: int, tokens: int) -> None:
        replica = self.replicas[name]
        if generation != replica.generation:  # it died meanwhile: the request runs again elsewhere
            self.rerun += 1
            self.begin(now, conversation, turn)
            return
        replica.running -= 1
        self.total -= 1
        replica.served += 1
        self.done += 1
        replica.cached += tokens - replica.cache.pop(conversation, 0)
        replica.cache[conversation] = tokens
        while replica.cached > self.o.kv and len(replica.cache) > 1:
            replica.cached -= replica.cache.popitem(last=False)[1]
        if turn + 1 < self.o.turns:
            self.at(now + self.rng.expovariate(1 / self.o.pause), self.begin, conversation, turn + 1)
        else:
            self.home.pop(conversation)
            self.order.forget(str(conversation))

    def kill(self, now: float, share: float) -> None:
        for name in self.rng.sample(self.names, int(share * len(self.names))):
            replica = self.replicas[name]
            self.total -= replica.running
            generation = replica.generation + 1
            self.replicas[name] = Replica(name, served=replica.served, generation=generation)
            self.order.alive.discard(name)
        self.names = [name for name in self.replicas if name in self.order.alive]
        self.at(now + self.o.restart, self.back)

    def back(self, now: float) -> None:
        self.names = list(self.replicas)
        self.order.alive.update(self.names)

    def run(self) -> Result:
        o, now = self.o, 0.0
        num = o.requests // o.turns
        for conversation in range(num):
            now += self.rng.expovariate(o.rate * o.replicas)
            self.at(now, self.begin, conversation, 0)
        if o.failures:
            self.at(now / 2, self.kill, o.failures)
        while self.events:
            now, _, what, args = heapq.heappop(self.events)
            what(now, *args)
            if self.done % 5000 == 0 and self.total > o.replicas:
                busiest = max(replica.running for replica in self.replicas.values())
                self.peak = max(self.peak, busiest / (self.total / o.replicas))
        served = [replica.served for replica in self.replicas.values()]
        return Result(
            self.hits / self.prompt,
            self.ideal / self.prompt,
            self.first,
            max(served) / statistics.mean(served),
            self.peak,
            self.moved,
            self.rerun,
        )


def simulated(o: argparse.Namespace, policy: str) -> Result:
    return Simulation(o, policy).run()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--replicas", type=int, default=1000)
    add("--requests", type=int, default=1_000_000)
    add("--turns", type=int, default=8, help="turns of a conversation")
    add("--rate", type=float, default=0.15, help="new conversations per second and replica")
    add("--pause", type=float, default=20.0, help="mean pause between turns, in seconds")
    add("--system", type=int, default=100, help="tokens that a conversation begins with")
    add("--question", type=int, default=60, help="tokens")
    add("--answer", type=int, default=200, help="tokens")
    add("--prefill", type=float, default=1500.0, help="prompt tokens per second of a replica")
    add("--step", type=float, default=0.012, help="seconds for a token of a request that is alone")
    add("--slower", type=float, default=0.08, help="how much longer a step is for each further request")
    add("--kv", type=int, default=60_000, help="tokens that a replica's cache holds")
    add("--failures", type=float, default=0.02, help="share of replicas that die in the middle")
    add("--restart", type=float, default=30.0, help="seconds until they are back")
    add("--seed", type=int, default=1)
    add("--out", type=Path, help="a picture, .svg or .png")
    return parser.parse_args()


def picture(results: dict[str, Result], o: argparse.Namespace) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "myna", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 3.2))
    names = list(results)
    panels = (
        ("cached share of prompt tokens", [one.hits for one in results.values()]),
        ("first token, 99th percentile (s)", [quantile(one.first_token_s, 0.99) for one in results.values()]),
        ("busiest replica / mean, in requests", [one.balance for one in results.values()]),
    )
    for axis, (title, values) in zip(axes, panels, strict=True):
        bars = axis.bar(names, values, color=["#2a6f97", "#a9a9a9", "#d9a441", "#8a5a83"], width=0.6)
        axis.bar_label(bars, fmt="%.2f", padding=2)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.margins(y=0.18)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].axhline(results["Myna"].ideal, color="black", linewidth=0.8, linestyle=":")
    figure.suptitle(
        f"{o.replicas:,} replicas, {o.requests:,} requests, {o.failures:.0%} of the replicas die", fontsize=10
    )
    figure.tight_layout()
    figure.savefig(o.out, metadata={"Date": None} if o.out.suffix == ".svg" else None)


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def main() -> int:
    o = options()
    results = {}
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        runs = {policy: pool.submit(simulated, o, policy) for policy in POLICIES}
    for policy, run in runs.items():
        result = results[policy] = run.result()
        print(
            json.dumps(
                {
                    "policy": policy,
                    "hits": round(result.hits, 4),
                    "of_ideal": round(result.hits / result.ideal, 4),
                    "first_token_p50_s": round(quantile(result.first_token_s, 0.5), 3),
                    "first_token_p99_s": round(quantile(result.first_token_s, 0.99), 3),
                    "busiest_of_mean_requests": round(result.balance, 3),
                    "busiest_of_mean_running": round(result.peak, 2),
                    "moved": result.moved,
                    "rerun": result.rerun,
                }
            ),
            flush=True,
        )
    if o.out:
        picture(results, o)
    return 0


if __name__ == "__main__":
    sys.exit(main())
