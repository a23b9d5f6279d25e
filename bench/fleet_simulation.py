"""What cannot be run on one machine: the fleet's own router over many replicas, with service times given.

Conversations arrive, each with several turns and pauses between them. A turn's prompt is all that was said;
what is cached at its replica needn't be computed. A replica computes prompts one after the other, and when
there are none, a token for each of its requests in steps that take longer the more there are. How long both
take was measured by `bench/scaling.py` on one machine. In the middle of a run, a share of the replicas dies;
their requests run again elsewhere, and they come back empty.

Myna's router is compared with Ray's: consistent hashing without regard to load, the less busy of two, and the
tree of prefixes, which is assumed to know all of them at once and to cost nothing.

    PYTHONPATH=src:. python bench/fleet_simulation.py --picture docs/images/fleet-simulation.svg \\
        --out bench/reports/fleet_simulation.json    # half an hour on two cores
    PYTHONPATH=src:. python bench/fleet_simulation.py --replicas 50 --requests 40000    # a minute
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
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np

from myna.fleet.routing import PRIME, Rendezvous, hashes, rank

_NUM_KNOWN = 12
_MEASURED = Path(__file__).parent / "reports/qwen2.5-coder-0.5b-instruct-scaling.json"
_CONTEXT_TOKENS = 500  # of those that were measured, the nearest to the mean prompt
_SILENCE_S = 2.2  # after which a front leaves a replica
LOADS = (0.5, 1.0, 2.0)
_LOOKS = {  # label, colour, marker, line
    "Myna": ("Myna", "#1f6f9f", "o", "-"),
    "Ray: hash": ("Ray, consistent hashing", "#8a8a8a", "s", "--"),
    "Ray: prefixes": ("Ray, tree of prefixes", "#8a5a83", "D", "-."),
    "Ray: two choices": ("Ray, less busy of two", "#d08a1e", "^", ":"),
}
POLICIES = tuple(_LOOKS)
_PANELS = (
    ("first_token_p99_s", "Time to first token", "99 of 100 requests wait less; lower is better"),
    ("cached_share", "Prompt tokens found in a cache", "they needn't be computed; higher is better"),
    (
        "busiest_of_mean_requests",
        "Busiest replica against the mean",
        "in requests; 1 × is even, lower is better",
    ),
)
Row = dict[str, str | float]


@dataclass(frozen=True)
class ServiceTimes:
    """`prompt_s` is for a token of a prompt, `steps_s[n]` for a step of n requests."""

    prompt_s: float
    steps_s: list[float]

    @classmethod
    def measured(cls, report: Path = _MEASURED) -> ServiceTimes:
        """Between the numbers of requests that were measured, a step's time is taken to be linear."""
        measured = json.loads(report.read_text())
        prompts = [one for one in measured["contexts"] if one["server"] == "myna"]
        streams = [one for one in measured["streams"] if one["server"] == "myna"]
        (prompt_ms,) = (one["prompt_ms"] for one in prompts if one["at"] == _CONTEXT_TOKENS)
        nums = [one["at"] for one in streams]
        # Those are for a token of all together, with prompts of as many tokens computed in the same time.
        steps_ms = [one["at"] * (one["decode_ms"] - prompt_ms) for one in streams]
        between = np.interp(range(max(nums) + 1), nums, steps_ms)
        return cls(prompt_ms / 1e3, [ms / 1e3 for ms in between.tolist()])

    def step_s(self, num_requests: int) -> float:
        """For more requests than were measured, as if they took turns."""
        most = len(self.steps_s) - 1
        if num_requests <= most:
            return self.steps_s[num_requests]
        return self.steps_s[most] * num_requests / most


@dataclass(frozen=True, slots=True)
class Running:
    """A turn whose answer ends when its replica's `progress` is `end`. `tokens`: its prompt and answer."""

    conversation: int
    turn: int
    tokens: int
    end: float


@dataclass(eq=False)
class Replica:
    """`running` is in the order of ends, since all answers are equally long. `progress` is how many tokens a
    request would have got that began with the replica, until `seen_s`. `prefill_until_s` is when the prompts
    are computed. `cache` holds tokens by conversation, least recently used first; `prefixes` are those that a
    tree of all prompts would have. `version` separates events to come from those that aren't any more."""

    name: str
    times: ServiceTimes
    running: deque[Running] = field(default_factory=deque)
    progress: float = 0.0
    seen_s: float = 0.0
    prefill_until_s: float = 0.0
    served: int = 0
    cached: int = 0
    prefixes: int = 0
    version: int = 0
    cache: OrderedDict[int, int] = field(default_factory=OrderedDict)

    def advance(self, now_s: float) -> None:
        since_s = max(self.seen_s, self.prefill_until_s)
        if now_s > since_s and self.running:
            self.progress += (now_s - since_s) / self.times.step_s(len(self.running))
        self.seen_s = now_s

    def next_end_s(self) -> float:
        """If nothing else comes until then."""
        num_left = self.running[0].end - self.progress
        return max(self.seen_s, self.prefill_until_s) + num_left * self.times.step_s(len(self.running))


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
    """The first three are in tokens of prompts."""

    hits: int
    could_be_cached: int
    prompt: int
    first_token_s: list[float]
    balance: float
    busiest: float
    moved: int
    rerun: int


class Simulation:
    """`load` is in requests per second for each replica."""

    def __init__(self, options: argparse.Namespace, policy: str, load: float) -> None:
        self.o, self.policy, self.load = options, policy, load
        self.rng = random.Random(options.seed)
        self.times = ServiceTimes.measured()
        self.names = [f"replica-{n}" for n in range(options.replicas)]
        self.replicas = {name: Replica(name, self.times) for name in self.names}
        self.order, self.hash_ring = Order(self.names), HashRing(self.names)
        self.total = 0
        self.events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self.number = 0
        self.home: dict[int, str] = {}
        self.hits = self.could_be_cached = self.prompt = self.moved = self.rerun = self.done = 0
        self.first: list[float] = []
        self.busiest: list[float] = []

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
        return self.replicas[name].prefixes, self._load(name)

    def _load(self, name: str) -> int:
        return len(self.replicas[name].running)

    def begin(self, now: float, conversation: int, turn: int) -> None:
        o, replica = self.o, self.choose(conversation)
        prompt, answer = turn * (o.question + o.answer) + o.system + o.question, o.answer
        if self.home.setdefault(conversation, replica.name) != replica.name:
            self.moved += 1
            self.home[conversation] = replica.name
        known = min(replica.cache.get(conversation, 0), prompt)
        said = 0 if turn == 0 else prompt - o.question
        self.hits += known
        self.could_be_cached += said
        self.prompt += prompt
        replica.advance(now)
        start = max(now, replica.prefill_until_s)
        replica.prefill_until_s = start + (prompt - known) * self.times.prompt_s
        replica.running.append(Running(conversation, turn, prompt + answer, replica.progress + answer))
        replica.prefixes += prompt - said
        self.total += 1
        self.first.append(replica.prefill_until_s - now)
        self.expect(replica)

    def expect(self, replica: Replica) -> None:
        """What was expected of it before no longer is."""
        replica.version += 1
        if replica.running:
            self.at(replica.next_end_s(), self.end, replica, replica.version)

    def end(self, now: float, replica: Replica, version: int) -> None:
        if version != replica.version:
            return
        replica.advance(now)
        one = replica.running.popleft()
        replica.progress = one.end  # up to rounding it is
        self.expect(replica)
        self.total -= 1
        replica.served += 1
        self.done += 1
        replica.cached += one.tokens - replica.cache.pop(one.conversation, 0)
        replica.cache[one.conversation] = one.tokens
        while replica.cached > self.o.kv and len(replica.cache) > 1:
            replica.cached -= replica.cache.popitem(last=False)[1]
        if one.turn + 1 < self.o.turns:
            pause_s = self.rng.expovariate(1 / self.o.pause)
            self.at(now + pause_s, self.begin, one.conversation, one.turn + 1)
        else:
            self.home.pop(one.conversation)
            self.order.forget(str(one.conversation))
        if self.done % self.o.replicas == 0 and self.total > self.o.replicas:
            self.busiest.append(self._busiest())

    def _busiest(self) -> float:
        most = max(len(replica.running) for replica in self.replicas.values())
        return float(most / (self.total / self.o.replicas))

    def kill(self, now: float, share: float) -> None:
        """Which replicas are dead is known after some seconds; nothing is sent to them meanwhile."""
        for name in self.rng.sample(self.names, int(share * len(self.names))):
            replica = self.replicas[name]
            replica.version += 1
            self.total -= len(replica.running)
            self.rerun += len(replica.running)
            for one in replica.running:
                self.at(now + _SILENCE_S, self.begin, one.conversation, one.turn)
            self.replicas[name] = Replica(name, self.times, served=replica.served)
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
            now += self.rng.expovariate(self.load / o.turns * o.replicas)
            self.at(now, self.begin, conversation, 0)
        if o.failures:
            self.at(now / 2, self.kill, o.failures)
        while self.events:
            now, _, what, args = heapq.heappop(self.events)
            what(now, *args)
        served = [replica.served for replica in self.replicas.values()]
        return Result(
            self.hits,
            self.could_be_cached,
            self.prompt,
            self.first,
            max(served) / statistics.mean(served),
            statistics.median(self.busiest or [1.0]),
            self.moved,
            self.rerun,
        )


def simulated(o: argparse.Namespace, policy: str, load: float) -> Result:
    return Simulation(o, policy, load).run()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--replicas", type=int, default=1000)
    add("--requests", type=int, default=1_000_000)
    add("--turns", type=int, default=8, help="turns of a conversation")
    add("--loads", type=float, nargs="+", default=LOADS, help="requests per second for each replica")
    add("--pause", type=float, default=20.0, help="mean pause between turns, in seconds")
    add("--system", type=int, default=100, help="tokens that a conversation begins with")
    add("--question", type=int, default=60, help="tokens")
    add("--answer", type=int, default=200, help="tokens")
    add("--kv", type=int, default=60_000, help="tokens that a replica's cache holds")
    add("--failures", type=float, default=0.02, help="share of replicas that die in the middle")
    add("--restart", type=float, default=30.0, help="seconds until they are back")
    add("--seed", type=int, default=1)
    add("--out", type=Path, help="JSON")
    add("--picture", type=Path, help=".svg or .png")
    return parser.parse_args()


def summary(policy: str, load: float, result: Result) -> Row:
    return {
        "policy": policy,
        "requests_per_s_and_replica": load,
        "cached_share": round(result.hits / result.prompt, 4),
        "of_what_could_be_cached": round(result.hits / result.could_be_cached, 4),
        "first_token_p50_s": round(quantile(result.first_token_s, 0.5), 3),
        "first_token_p99_s": round(quantile(result.first_token_s, 0.99), 3),
        "busiest_of_mean_requests": round(result.balance, 3),
        "busiest_of_mean_running": round(result.busiest, 2),
        "moved": result.moved,
        "run_again": result.rerun,
    }


def picture(rows: Sequence[Row], o: argparse.Namespace) -> None:
    """Three figures of each policy against the load."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "myna", "font.size": 11, "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4.6))
    for axis, (key, title, better) in zip(axes, _PANELS, strict=True):
        for policy, (label, colour, marker, dashes) in _LOOKS.items():
            own = [row for row in rows if row["policy"] == policy]
            loads = [float(row["requests_per_s_and_replica"]) for row in own]
            values = [float(row[key]) for row in own]
            axis.plot(loads, values, marker=marker, color=colour, label=label, linestyle=dashes, linewidth=2)
        axis.set_title(f"{title}\n", fontsize=12, fontweight="bold", loc="left")
        axis.text(0, 1.02, better, transform=axis.transAxes, color="#555555", fontsize=10)
        axis.set_xlabel("requests per second for each replica")
        axis.set_xticks(sorted({float(row["requests_per_s_and_replica"]) for row in rows}))
        axis.grid(axis="y", color="#e5e5e5")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yscale("log")
    axes[0].set_ylim(0.05, 200)
    axes[0].set_yticks([0.1, 1, 10, 100], ["0.1 s", "1 s", "10 s", "100 s"])
    axes[0].minorticks_off()
    axes[1].set_ylim(0, 1)
    axes[1].yaxis.set_major_formatter("{x:.0%}")
    axes[2].set_ylim(1)
    axes[2].yaxis.set_major_formatter("{x:.1f} ×")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=4, frameon=False)
    figure.suptitle(
        "Where should a request run? Four ways to choose a replica, simulated",
        x=0.012,
        ha="left",
        fontsize=14,
    )
    figure.text(
        0.012,
        0.89,
        f"{o.replicas:,} replicas; each point: {o.requests:,} requests in conversations of {o.turns} turns, "
        f"while {o.failures:.0%} of the replicas die",
        color="#555555",
    )
    figure.tight_layout(rect=(0, 0.06, 1, 0.93))
    figure.savefig(o.picture, metadata={"Date": None} if o.picture.suffix == ".svg" else None)


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def main() -> int:
    o = options()
    rows = []
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        runs = {
            (policy, load): pool.submit(simulated, o, policy, load) for load in o.loads for policy in POLICIES
        }
        for (policy, load), run in runs.items():
            rows.append(summary(policy, load, run.result()))
            print(json.dumps(rows[-1]), flush=True)
    if o.out:
        given = {name: value for name, value in vars(o).items() if name not in ("out", "picture", "loads")}
        o.out.write_text(json.dumps({**given, "rows": rows}, indent=1) + "\n")
    if o.picture:
        picture(rows, o)
    return 0


if __name__ == "__main__":
    sys.exit(main())
