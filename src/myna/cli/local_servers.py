"""This user's servers: each running one keeps a record in `servers/` of its home, so that `myna chat` and the
other verbs find it on any port."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from myna.cli.banner import base_url
from myna.cli.client import is_up
from myna.core.errors import OperatorError
from myna.core.translatable import N_
from myna.settings import Settings

_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class RunningServer:
    """`started` is the process's start in Unix seconds: a later process may have its id."""

    pid: int
    started: float
    base_url: str

    @property
    def is_alive(self) -> bool:
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.started) < 1)
        except (psutil.Error, OSError, ValueError):
            return False


@contextlib.contextmanager
def recorded(home: Path, base_url: str) -> Iterator[None]:
    """While the block runs, other processes find this server. A home that can't be written doesn't matter."""
    path = home / "servers" / f"{os.getpid()}.json"
    server = {"started": psutil.Process().create_time(), "base_url": base_url}
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(json.dumps(server))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def running_servers(home: Path) -> list[RunningServer]:
    """The newest first. Records of processes that were killed are removed."""
    found = []
    for path in (home / "servers").glob("*.json"):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            values = json.loads(path.read_text())
            server = RunningServer(int(path.stem), float(values["started"]), str(values["base_url"]))
            if server.is_alive:
                found.append(server)
                continue
        with contextlib.suppress(OSError):
            path.unlink()
    return sorted(found, key=lambda server: server.started, reverse=True)


def find_server(settings: Settings) -> str | None:
    """The base URL of this user's running server: the one at the settings' address, else the newest."""
    addresses = [local_base_url(settings), *(server.base_url for server in running_servers(settings.home))]
    return next((address for address in dict.fromkeys(addresses) if is_up(address)), None)


@contextlib.contextmanager
def started_server(settings: Settings, model: str | None) -> Iterator[str]:
    """A server on a free port for as long as the block runs; its base URL. Its progress is shown on standard
    error. Raises `OperatorError` if it can't start, which it has explained by then."""
    command = [sys.executable, "-m", "myna.cli", "serve", "--port", "0", "--log-level", "error"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [*command, *([model] if model else [])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C stops an answer, not the server
    ) as process:
        try:
            yield _ready_url(settings, process)
        finally:
            process.terminate()


def _ready_url(settings: Settings, process: "subprocess.Popen[bytes]") -> str:
    while process.poll() is None:
        for server in running_servers(settings.home):
            if server.pid == process.pid:
                return server.base_url
        time.sleep(_POLL_S)
    raise OperatorError(N_("No server is running, and none could be started."))


def local_base_url(settings: Settings) -> str:
    """The address where the settings put the server."""
    return base_url(settings.host, settings.port, settings)
