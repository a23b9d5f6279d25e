"""What goes wrong in the fleet bench, and what it goes wrong with."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from bench.fleet_clients import FleetClients, Question, Sent
from bench.fleet_hosts import Host

NUM_REPLICAS = 3
_READY_S = 180
_AWAY_S = 20.0
_ORPHANS_S = 5.0
_IDLE_S = 5.0
_REPLACED_S = 60.0


@dataclass
class Recovery:
    """A fault and what it led to. `server` is the one that was killed. `whole_s`: until all replicas and
    machines were there again; `hit`: how many replicas were on its machine; `ran_on`: sequences of a dead
    server."""

    name: str
    at: float = field(default_factory=time.monotonic)
    server: int | None = None
    whole_s: float = 0.0
    silence_s: float = 0.0
    first_s: float = 0.0
    hit: int = 0
    ran_on: int = 0

    @property
    def shown(self) -> dict[str, object]:
        figures = {"whole_s": self.whole_s, "silence_s": self.silence_s, "first_s": self.first_s}
        shown = {name: round(value, 1) for name, value in figures.items()}
        return {"fault": self.name, "replicas hit": self.hit, **shown}


class Front:
    """A server: `myna serve` on the machine for servers, with a home of its own."""

    def __init__(self, number: int, folder: Path, host: Host, model: str) -> None:
        self.number, self._host, self._model = number, host, model
        self._home, self.log = folder / f"home-{number}", folder / f"server-{number}.log"
        self.url = f"http://{host.address}:{8001 + number}"
        self._outer: subprocess.Popen[str] | None = None
        self.processor_s = self.counted_s = self.idle_share = 0.0

    def start(self) -> None:
        command = [sys.executable, "-m", "myna.cli", "serve", self._model, "--log-level", "info"]
        where = ["--host", self._host.address, "--port", self.url.rpartition(":")[2]]
        self._home.mkdir(exist_ok=True)
        with self.log.open("ab") as output:
            self._outer = self._host.run(
                *command, *where, env={"MYNA_HOME": str(self._home)}, stdout=output, stderr=output
            )

    def wait_until_ready(self) -> None:
        for _ in range(_READY_S * 2):
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/ready", timeout=5).status_code == 200:
                    return
            assert self._outer is not None
            assert self._outer.poll() is None, self.log.read_text()
            time.sleep(0.5)
        raise TimeoutError(self.log.read_text())

    @property
    def process(self) -> psutil.Process:
        assert self._outer is not None
        return psutil.Process(self._outer.pid).children()[0]

    def count(self, sign: int = 1) -> None:
        """The processor time until now, and how long that was; -1 begins."""
        self.processor_s += sign * sum(self.process.cpu_times()[:2])
        self.counted_s += sign * time.monotonic()

    @property
    def busy_s(self) -> float:
        """Without what it takes when nobody asks: Ray's threads."""
        return self.processor_s - self.idle_share * self.counted_s

    def kill(self) -> None:
        if self._outer is not None:
            with suppress(psutil.Error, IndexError):
                self.process.kill()
            self._outer.kill()
            self._outer.wait()
            self._outer = None


class Fleet:
    """The machines, the servers, and the settings that all share."""

    def __init__(
        self, folder: Path, hosts: dict[str, Host], model: str, path: Path, generator: random.Random
    ) -> None:
        self.hosts, self.random = hosts, generator
        self.model, self._folder, self._path, self._changes = model, folder, path, 0
        self.fronts = [Front(number, folder, hosts["front"], model) for number in (0, 1)]

    @property
    def engines(self) -> list[Host]:
        return [self.hosts["a"], self.hosts["b"]]

    def deploy(self) -> None:
        """`myna fleet up`, each time with a little other memory, so that every replica is replaced."""
        self._changes += 1
        (self._folder / "myna.toml").write_text(
            f'model = "{self.model}"\n[fleet]\naddress = "{self.hosts["head"].address}:6379"\n'
            f'token_file = "{self._folder}/token"\n[fleet.models.{self.model}]\npath = "{self._path}"\n'
            f'engine = "native"\nreplicas = {NUM_REPLICAS}\nthreads = 1\nmemory = "{400 + self._changes}M"\n'
            "cpus = 0.5\nresources = { engine = 1 }\n"
        )
        command = [sys.executable, "-m", "myna.cli", "fleet", "up"]
        home = {"MYNA_HOME": str(self._folder / "home-up")}
        with (self._folder / "up.log").open("ab") as output:
            done = self.hosts["front"].run(*command, env=home, stdout=output, stderr=output).wait(300)
        assert done == 0, (self._folder / "up.log").read_text()

    def replicas(self, host: Host) -> list[psutil.Process]:
        """Ray's processes that own a worker, if they aren't stopped."""
        found = []
        for process in host.processes():
            with suppress(psutil.Error):
                if "myna.workers.main" in process.cmdline():
                    parent = process.parent()
                    if parent is not None and parent.status() != psutil.STATUS_STOPPED:
                        found.append(parent)
        return found

    async def until_whole(self, fault: Recovery) -> Recovery:
        """Start again what ended by itself, as an init system would; wait for all replicas."""
        for _ in range(_READY_S):
            for host in self.hosts.values():
                if not host.is_running:
                    await asyncio.to_thread(self.start_again, host)
            if await asyncio.to_thread(self._num_replicas) >= NUM_REPLICAS:
                break
            await asyncio.sleep(1)
        fault.whole_s = time.monotonic() - fault.at
        return fault

    def start_again(self, host: Host) -> None:
        host.kill()
        host.start()
        host.wait_until_ready()

    def _num_replicas(self) -> int:
        return sum(len(self.replicas(host)) for host in self.engines)

    def begin_counting(self) -> None:
        """First while nobody asks."""
        for front in self.fronts:
            front.count(-1)
        time.sleep(_IDLE_S)
        for front in self.fronts:
            front.count()
            front.idle_share = front.processor_s / front.counted_s
            front.processor_s = front.counted_s = 0.0
            front.count(-1)

    def front_us(self, sent: Sequence[Sent]) -> dict[str, float]:
        """Processor time of each server per token that it sent; HTTP and everything else included."""
        found = {}
        for front in self.fronts:
            front.count()
            tokens = sum(one.tokens or one.events for one in sent if one.server == front.number)
            found[f"server {front.number}"] = round(1e6 * front.busy_s / max(1, tokens), 1)
        return found

    def close(self) -> None:
        for front in self.fronts:
            front.kill()


def _busiest(fleet: Fleet) -> Host:
    return max(fleet.engines, key=lambda host: len(fleet.replicas(host)))


async def _engine_host_killed(fleet: Fleet, clients: FleetClients) -> Recovery:
    host = await asyncio.to_thread(_busiest, fleet)
    fault = Recovery("engine host killed", hit=len(fleet.replicas(host)))
    await asyncio.to_thread(host.kill)
    await asyncio.sleep(_AWAY_S / 2)
    return await fleet.until_whole(fault)


async def _front_killed(fleet: Fleet, clients: FleetClients) -> Recovery:
    """Some of its requests would go on for long; nothing of them may run 5 s later."""
    front = fleet.random.choice(fleet.fronts)
    other = fleet.fronts[1 - front.number]
    long = Question(-1, "stream", {**_LONG, "model": fleet.model})
    async with clients.http() as http:
        victims = [asyncio.create_task(_stream(http, front.url, long)) for _ in range(3)]
        await asyncio.sleep(3)
        front.count()
        fault = Recovery("server killed", server=front.number)
        front.kill()
        await asyncio.gather(*victims)
        await asyncio.sleep(_ORPHANS_S)
        surplus = []
        for _ in range(6):
            surplus.append(await _num_running(http, other.url) - clients.num_sequences(other.number))
            await asyncio.sleep(0.3)
        fault.ran_on = max(0, min(surplus))
    front.start()
    await asyncio.to_thread(front.wait_until_ready)
    front.count(-1)
    return await fleet.until_whole(fault)


_LONG: dict[str, object] = {
    "messages": [{"role": "user", "content": "Count from one to a thousand in words."}],
    "max_tokens": 3000,
    "logit_bias": {"0": -100, "2": -100},
    "stream": True,
    "user": "victim",
}


async def _stream(http: httpx.AsyncClient, url: str, question: Question) -> None:
    with suppress(httpx.HTTPError):
        async with http.stream("POST", f"{url}/v1/chat/completions", json=question.body) as response:
            async for _ in response.aiter_lines():
                pass


async def _num_running(http: httpx.AsyncClient, url: str) -> int:
    text = (await http.get(f"{url}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("vllm:num_requests_running")]
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


async def _link_cut(fleet: Fleet, clients: FleetClients) -> Recovery:
    host = await asyncio.to_thread(_busiest, fleet)
    fault = Recovery("link cut for 20 s", hit=len(fleet.replicas(host)))
    host.cut()
    await asyncio.sleep(_AWAY_S)
    host.cut(mend=True)
    await asyncio.sleep(5)
    return await fleet.until_whole(fault)


async def _head_killed(fleet: Fleet, clients: FleetClients) -> Recovery:
    fault = Recovery("head killed for 20 s")
    await asyncio.to_thread(fleet.hosts["head"].kill)
    await asyncio.sleep(_AWAY_S)
    return await fleet.until_whole(fault)


async def _replica_stopped(fleet: Fleet, clients: FleetClients) -> Recovery:
    """It neither answers nor ends, until Ray kills it."""
    replicas = await asyncio.to_thread(
        lambda: [one for host in fleet.engines for one in fleet.replicas(host)]
    )
    fault = Recovery("replica stopped")
    process = fleet.random.choice(replicas)
    os.kill(process.pid, signal.SIGSTOP)
    await asyncio.to_thread(psutil.wait_procs, [process], _REPLACED_S)
    with suppress(psutil.Error):
        process.resume()
    return await fleet.until_whole(fault)


async def _rolling_change(fleet: Fleet, clients: FleetClients) -> Recovery:
    fault = Recovery("rolling change")
    await asyncio.to_thread(fleet.deploy)
    return await fleet.until_whole(fault)


FAULTS: dict[str, Callable[[Fleet, FleetClients], Awaitable[Recovery]]] = {
    "engine host": _engine_host_killed,
    "change": _rolling_change,  # after which both engine hosts have replicas again
    "link": _link_cut,
    "server": _front_killed,
    "head": _head_killed,
    "replica": _replica_stopped,
}
