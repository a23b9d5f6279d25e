"""The faults of the chaos bench: each does one bad thing to the server for a few seconds, then stops."""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests.stores.postgresql import Cluster


@dataclass
class Place:
    """What faults act on. `cluster` None: the database is SQLite, in `home`. `clock` moves the
    server's wall clock."""

    pid: int
    home: Path
    proxy: "Proxy"
    cluster: Cluster | None
    clock: "Clock"
    random: random.Random
    key: str

    def workers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self.pid).children(recursive=True)
            return [child for child in children if "myna.workers.main" in " ".join(child.cmdline())]
        return []


async def kill_worker(place: Place) -> None:
    for worker in place.workers():
        worker.kill()
    await asyncio.sleep(5)


async def stop_worker(place: Place) -> None:
    """SIGSTOP, longer than a hang may stay unnoticed."""
    for worker in place.workers():
        with contextlib.suppress(psutil.Error):
            worker.suspend()
    await asyncio.sleep(20)


async def fill_disk(place: Place) -> None:
    """Only where the home is a file system of its own."""
    filler = place.home / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    await asyncio.sleep(8)
    filler.unlink(missing_ok=True)


async def lock_database(place: Place) -> None:
    if place.cluster is not None:
        await asyncio.to_thread(place.cluster.restart)
        return
    connection = sqlite3.connect(place.home / "myna.db", timeout=30, isolation_level=None)
    with contextlib.closing(connection), contextlib.suppress(sqlite3.OperationalError):
        connection.execute("BEGIN EXCLUSIVE")
        await asyncio.sleep(8)
        connection.execute("ROLLBACK")


async def move_clock(place: Place) -> None:
    """A day forwards, then a day back, then right again."""
    for offset_s in (86_400, -86_400, 0):
        place.clock.move(offset_s)
        await asyncio.sleep(3)


async def take_descriptors(place: Place) -> None:
    """Idle connections, more than the server may have open."""
    sockets = []
    for _ in range(1500):
        one = socket.socket()
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(place.proxy.target)
        sockets.append(one)
    await asyncio.sleep(8)
    for one in sockets:
        one.close()


async def read_slowly(place: Place) -> None:
    """Clients that ask for a lot, and don't read."""
    body = json.dumps(
        {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "Tell a long story."}],
            "user": "chaos-slow",
            "stream": True,
            "n": 4,
            "max_tokens": 400,
            "logprobs": True,
            "top_logprobs": 20,
        }
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {place.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    sockets = []
    for _ in range(8):
        with contextlib.suppress(OSError):
            one = socket.create_connection(place.proxy.target)
            one.sendall(f"{head}{body}".encode())
            sockets.append(one)
    await asyncio.sleep(15)
    for one in sockets:
        one.close()


async def cut_network(place: Place) -> None:
    place.proxy.cut_rate = 0.3
    await asyncio.sleep(8)
    place.proxy.cut_rate = 0.0


async def reload(place: Place) -> None:
    os.kill(place.pid, signal.SIGHUP)
    await asyncio.sleep(2)


FAULTS: dict[str, Callable[[Place], Awaitable[None]]] = {
    "kill -9 of workers": kill_worker,
    "network cuts": cut_network,
    "locked or restarted database": lock_database,
    "slow readers": read_slowly,
    "SIGSTOP of workers": stop_worker,
    "full disk": fill_disk,
    "clock jumps": move_clock,
    "descriptors exhausted": take_descriptors,
    "reload": reload,
}


@dataclass
class Proxy:
    """A TCP proxy before the server. While `cut_rate` is set, that share of the packets resets its
    connection."""

    target: tuple[str, int]
    random: random.Random
    cut_rate: float = 0.0
    num_cut: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> str:
        """The base URL for clients."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        both = (writer, up_writer)
        pumps = [self._pump(reader, up_writer, both), self._pump(up_reader, writer, both)]
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                if self.cut_rate and self.random.random() < self.cut_rate:
                    self.num_cut += 1
                    for writer in both:
                        writer.transport.abort()
                    return
                sink.write(data)
                await sink.drain()
        if sink is both[1]:  # the client left, so the server learns it
            sink.transport.abort()
        else:
            sink.close()


class Clock:
    """An offset to the wall clock of programs that are started with `variables`."""

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / "clock.so", folder / "clock"
        source = Path(__file__).with_name("chaos_clock.c")
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self.move(0)
        self.variables = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self._file)}

    def move(self, offset_s: int) -> None:
        self._file.touch()
        with self._file.open("r+b") as file:  # in place, since it is mapped
            file.write(offset_s.to_bytes(8, sys.byteorder, signed=True))


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """A tmpfs of that size at `folder`, where this user may mount one; whether there is one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
