"""The machines of the fleet bench: network and process namespaces of this one, joined by a bridge."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from myna.cli.fleet_head import MACHINE_ENVIRONMENT, PORT, agent_ports

_BRIDGE = "myna0"
_NETWORK = "10.231.0"
_STARTS_WITHIN_S = 180


def shell(*words: str) -> None:
    subprocess.run(words, check=True)


@dataclass
class Host:
    """One machine with Ray's processes. Its first process is Ray's; when that is killed, all others are."""

    name: str
    number: int
    environment: Mapping[str, str]
    ray_options: Sequence[str]
    log: Path
    _outer: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"{_NETWORK}.{self.number}"

    @property
    def network(self) -> str:
        return f"myna-{self.name}"

    @property
    def link(self) -> str:
        """The bridge's end of its cable."""
        return f"myna-{self.number}"

    def plug(self) -> None:
        shell("ip", "netns", "add", self.network)
        shell("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.network)
        shell("ip", "link", "set", self.link, "master", _BRIDGE, "up")
        inside = ("ip", "-n", self.network)
        shell(*inside, "address", "add", f"{self.address}/24", "dev", "eth0")
        shell(*inside, "link", "set", "eth0", "up")
        shell(*inside, "link", "set", "lo", "up")

    def unplug(self) -> None:
        self.kill()
        subprocess.run(["ip", "netns", "delete", self.network], check=False, capture_output=True)

    def cut(self, *, mend: bool = False) -> None:
        shell("ip", "link", "set", self.link, "up" if mend else "down")

    def start(self) -> None:
        """Ray's processes of this machine; returns before they are ready."""
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        options = [*self.ray_options, f"--node-ip-address={self.address}", "--object-store-memory=80000000"]
        options += agent_ports()
        spaces = ["ip", "netns", "exec", self.network]
        spaces += ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        with self.log.open("wb") as output:
            self._outer = subprocess.Popen(
                [*spaces, *ray, *options], env=dict(self.environment), stdout=output, stderr=output
            )

    def wait_until_ready(self) -> None:
        for _ in range(_STARTS_WITHIN_S * 2):
            text = self.log.read_text(errors="replace")
            if "block forever" in text:
                return
            if not self.is_running:  # Ray gives up after half a minute, which a busy machine may need
                self.start()
            time.sleep(0.5)
        raise TimeoutError(f"{self.name} did not start: {self.log.read_text(errors='replace')}")

    @property
    def is_running(self) -> bool:
        return self._outer is not None and self._outer.poll() is None

    @property
    def first(self) -> int:
        """Its first process, by its id here."""
        assert self._outer is not None
        return int(psutil.Process(self._outer.pid).children()[0].pid)

    def kill(self) -> None:
        """As if its power had failed."""
        if self._outer is not None:
            with suppress(psutil.Error, IndexError):
                os.kill(self.first, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._outer.wait(5)
            self._outer.kill()
            self._outer.wait()
            self._outer = None

    def run(self, *words: str, **options: object) -> "subprocess.Popen[str]":
        """A program on that machine."""
        inside = ["nsenter", "-t", str(self.first), "-p", "-n", "-m"]
        environment = {**self.environment, **options.pop("env", {})}  # type: ignore[dict-item]
        return subprocess.Popen([*inside, *words], env=environment, text=True, **options)  # type: ignore[call-overload, no-any-return]

    def processes(self) -> list[psutil.Process]:
        """None if the machine is down."""
        try:
            space = _space(self.first)
        except (AssertionError, psutil.Error, IndexError):
            return []
        return [one for one in psutil.process_iter() if space and _space(one.pid) == space]

    def memory_mb(self) -> dict[str, float]:
        """Of its kinds of processes, shared pages in equal parts."""
        found: dict[str, float] = {}
        for process in self.processes():
            with suppress(psutil.Error):
                kind = _kind(" ".join(process.cmdline()))
                found[kind] = found.get(kind, 0.0) + process.memory_full_info().pss / 1e6
        return {kind: round(size, 1) for kind, size in found.items()}


def _kind(command: str) -> str:
    if "myna.workers.main" in command:
        return "workers"
    if "ServeReplica" in command:
        return "replicas"
    return "servers" if "myna.cli" in command else "ray"


def _space(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


@contextmanager
def four_hosts(folder: Path, environment: Mapping[str, str]) -> Iterator[dict[str, Host]]:
    """A head, two machines with room for three replicas each, and one for servers; all run. Root only."""
    head = ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false"]
    joined = [f"--address={_NETWORK}.1:{PORT}"]
    engine = [*joined, "--num-cpus=3", '--resources={"engine": 3}']
    storage = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(folder / "gcs")}
    # Ray gives way to everything else on a replica's machine. These machines share processors, on which
    # another one's start must not stop the replicas.
    shared = {**environment, **MACHINE_ENVIRONMENT, "RAY_worker_niceness": "0"}
    hosts = {
        name: Host(name, number, {**shared, **more}, options, folder / f"{name}.log")
        for number, (name, options, more) in enumerate(
            (
                ("head", head, storage),
                ("a", engine, {}),
                ("b", engine, {}),
                ("front", [*joined, "--num-cpus=0"], {}),
            ),
            start=1,
        )
    }
    shell("ip", "link", "add", _BRIDGE, "type", "bridge")
    try:
        shell("ip", "address", "add", f"{_NETWORK}.254/24", "dev", _BRIDGE)
        shell("ip", "link", "set", _BRIDGE, "up")
        for host in hosts.values():
            host.plug()
        for host in hosts.values():
            host.start()
            host.wait_until_ready()
        yield hosts
    finally:
        for host in reversed(hosts.values()):
            host.unplug()
        subprocess.run(["ip", "link", "delete", _BRIDGE], check=False)
