"""The head of a Ray cluster of this machine alone, started and ended by `myna fleet`."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import psutil

from myna.cli.console import note
from myna.core.errors import OperatorError
from myna.core.translatable import N_

PORT: Final = 6379
_START_S: Final = 150
_STOP_S: Final = 30.0
# A head that is away for some minutes must not end the other machines.
MACHINE_ENVIRONMENT: Final = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_raylet_start_wait_time_s": "120",  # a busy machine may need more than Ray's half a minute
    "RAY_USAGE_STATS_ENABLED": "0",
}


def agent_ports() -> list[str]:
    """Options of `ray start`, with free ports for its agent. If the agent has to choose them, Ray gives up
    after 15 s, and a busy machine may need more."""
    options = (
        "--dashboard-agent-grpc-port",
        "--dashboard-agent-listen-port",
        "--metrics-export-port",
        "--runtime-env-agent-port",
    )
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in options]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"{name}={one.getsockname()[1]}" for name, one in zip(options, sockets, strict=True)]


def start_head(folder: Path) -> None:
    """Start it, unless it runs. It keeps running after this command. Raises `OperatorError`."""
    if _running(folder) is not None:
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = folder / "head.log"
    note(N_("Starting a Ray cluster on this machine; its log is {path}.", path=log))
    storage = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(folder / "gcs")}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={PORT}", "--block"]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--include-dashboard=false", "--disable-usage-stats", *agent_ports()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**MACHINE_ENVIRONMENT, **storage, **os.environ},
            start_new_session=True,
        )
    _pid_file(folder).write_text(str(process.pid), encoding="utf-8")
    for _ in range(_START_S):
        if "block forever" in log.read_text(encoding="utf-8", errors="replace"):
            return
        if process.poll() is not None:
            break
        time.sleep(1)
    stop_head(folder)
    raise OperatorError(N_("Ray can't be started; see {path}.", path=log))


def stop_head(folder: Path) -> None:
    """End the head that `start_head` started, if it runs, and what belongs to it."""
    process = _running(folder)
    if process is not None:
        children = process.children(recursive=True)
        process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs([process, *children], timeout=_STOP_S)
        for one in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    _pid_file(folder).unlink(missing_ok=True)


def _pid_file(folder: Path) -> Path:
    return folder / "head.pid"


def _running(folder: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int(_pid_file(folder).read_text(encoding="utf-8")))
        is_head = "ray.scripts.scripts" in process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if is_head else None
