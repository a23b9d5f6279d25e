"""This user's servers: each running one keeps a record in `servers/` of its home, so that `myna chat` and the
other verbs find it on any port."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from myna.cli.banner import base_url
from myna.cli.client import is_up
from myna.core.errors import OperatorError
from myna.core.translatable import N_
from myna.settings import Settings

_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class RunningServer:
    pid: int
    base_url: str


@contextlib.contextmanager
def recorded(home: Path, base_url: str) -> Iterator[None]:
    """While the block runs, other processes find this server. A home that can't be written doesn't matter.

    The record is locked until the process ends, however it does: process ids are used again, and the start
    time of a process changes when the clock is set.
    """
    path = home / "servers" / f"{os.getpid()}.json"
    draft = path.with_suffix(".new")
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            file = stack.enter_context(draft.open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps({"base_url": base_url}))
            file.flush()
            draft.replace(path)  # already locked when others see it
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def running_servers(home: Path) -> list[RunningServer]:
    """The newest first. Records of processes that were killed are removed."""
    found: list[tuple[float, RunningServer]] = []
    for path in (home / "servers").glob("*.json"):
        with contextlib.suppress(OSError), path.open() as file:
            if _is_locked(file):
                server = RunningServer(int(path.stem), str(json.load(file)["base_url"]))
                found.append((path.stat().st_mtime, server))
            else:
                path.unlink()
    return [server for _, server in sorted(found, key=lambda pair: pair[0], reverse=True)]


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def find_server(settings: Settings) -> str | None:
    """The base URL of this user's running server: the one at the settings' address, else the newest. Another
    program that answers at the settings' address is not this user's: it must not get the key."""
    addresses = [server.base_url for server in running_servers(settings.home)]
    preferred = local_base_url(settings)
    addresses.sort(key=lambda address: address != preferred)
    return next((address for address in addresses if is_up(address)), None)


@contextlib.contextmanager
def started_server(settings: Settings, model: str | None) -> Iterator[str]:
    """A server on a free port for as long as the block runs, and this process; its base URL. Its progress is
    shown on standard error. Raises `OperatorError` if it can't start, which it has explained by then."""
    command = [sys.executable, "-m", "myna.cli", "serve", "--port", "0", "--log-level", "error"]
    command.append("--until-stdin-ends")
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [*command, *([model] if model else [])],
        stdin=subprocess.PIPE,  # nothing is written; it ends with this process, even if that is killed
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C stops an answer, not the server
    ) as process:
        try:
            yield _ready_url(settings, process)
        finally:
            process.terminate()


def end_with_stdin() -> None:
    """End this process like Ctrl-C does, when its standard input ends."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="stdin", daemon=True).start()


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
