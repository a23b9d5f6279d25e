"""A real server process for the tests of this folder, and what happens inside it."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, Timer

import psutil
from sqlalchemy import create_engine, text

KEY = "sk-e2e-0123456789abcdef"
MODEL = "fake"
_LONGEST_S = 1800.0  # as long as all tests of a process that use one
_LOG_S = 600.0


@dataclass
class ServerProcess:
    """`python -m myna.cli serve`, ready: its first words were read. What it logs is taken from it at once,
    since a server whose log nobody reads stops when the pipe is full."""

    process: "subprocess.Popen[str]"
    base_url: str
    unread: "SimpleQueue[str | None]"
    log: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[psutil.Process]:
        """The models' processes. One that ends while they are looked through is none."""
        found = []
        for child in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "myna.workers.main" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def wait_for_log(self, pattern: str) -> "re.Match[str]":
        """The first line of the log, from now on, that matches; the server must write one."""
        while (line := self.unread.get(timeout=_LOG_S)) is not None:
            self.log.append(line)
            if match := re.search(pattern, line):
                return match
        self.unread.put(None)
        raise AssertionError(f"the server ended without a line like {pattern!r}: {self.log[-20:]}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        """Read the log to its end and return the exit status."""
        status = self.process.wait(timeout=60)
        while (line := self.unread.get(timeout=60)) is not None:
            self.log.append(line)
        self.unread.put(None)
        return status


def variables(home: Path) -> dict[str, str]:
    """The environment of a command of ours whose home that is."""
    # What the tests themselves import is what is run: an installed package, or a checkout on the path.
    folders = [
        str(Path(folder).absolute()) for folder in os.environ.get("PYTHONPATH", "").split(":") if folder
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MYNA_")}
    return inherited | {"PYTHONPATH": ":".join(folders), "MYNA_HOME": str(home), "MYNA_API_KEY": KEY}


@contextmanager
def serving(home: Path, *flags: str, descriptors: str = "", **environment: str) -> Iterator[ServerProcess]:
    """A server on a free port with a home of its own; killed at the end if it still lives. `descriptors`: the
    maximum of its file descriptors."""

    def limit() -> None:
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(descriptors), int(descriptors)))

    process = subprocess.Popen(
        [sys.executable, "-m", "myna.cli", "serve", "--port", "0", *flags],
        env=variables(home) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
        preexec_fn=limit,
    )
    watchdog = Timer(_LONGEST_S, process.kill)  # a server that hangs must not hang the tests
    watchdog.start()
    with process:
        try:
            base_url = _base_url(process)
            unread: SimpleQueue[str | None] = SimpleQueue()
            assert process.stdout is not None
            assert process.stderr is not None
            readers = [
                Thread(target=_take, args=(process.stderr, unread)),
                Thread(target=process.stdout.read),
            ]
            for reader in readers:
                reader.start()
            try:
                yield ServerProcess(process, base_url, unread)
            finally:
                process.kill()
                for reader in readers:
                    reader.join()
        finally:
            watchdog.cancel()
            process.kill()


def end_leases(database: str) -> None:
    """As if the leases of all servers on that database had run out: those that live renew theirs."""
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE runners SET alive_until = 0"))
    engine.dispose()


def _base_url(process: "subprocess.Popen[str]") -> str:
    """Read what a newcomer reads, to its last line."""
    assert process.stdout is not None
    assert process.stderr is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    found = re.search(r"Base URL\s+(\S+)", "".join(lines))
    if found is None:
        process.kill()
        raise AssertionError(f"the server did not start: {process.stderr.read()}")
    return found[1]


def _take(lines: Iterable[str], unread: "SimpleQueue[str | None]") -> None:
    for line in lines:
        unread.put(line)
    unread.put(None)
