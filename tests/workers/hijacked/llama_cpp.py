"""In place of llama.cpp's bindings: what an attacker tries whose model file has taken over the engine.

Imported in a worker process by `test_confined_worker.py`. The outcome of each attempt is the reason why the
model can't be loaded.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from myna.core.errors import ModelLoadFailed

SERVER = os.getppid()
MODEL = Path(os.environ["LC_TEST_MODEL"])


def write(path: Path) -> None:
    with path.open("w") as file:
        file.write("x")


def start_a_process() -> None:
    os._exit(0) if os.fork() == 0 else os.wait()


ATTEMPTS: dict[str, Callable[[], object]] = {
    "read its model": MODEL.read_bytes,
    "read another file": MODEL.with_name("other").read_bytes,
    "list the folder": lambda: list(MODEL.parent.iterdir()),
    "read through its root": Path(f"/proc/self/root{MODEL.with_name('other')}").read_bytes,
    "read the server's environment": Path(f"/proc/{SERVER}/environ").read_bytes,
    "read the server's memory": Path(f"/proc/{SERVER}/mem").open,
    "overwrite its model": lambda: write(MODEL),
    "create a file": lambda: write(MODEL.with_name("new")),
    "delete a file": MODEL.with_name("other").unlink,
    "change a file's mode": lambda: MODEL.chmod(0o777),
    "plant a module": lambda: write(Path(subprocess.__file__).with_name("planted.py")),
    "open a TCP socket": socket.socket,
    "open a Unix socket": lambda: socket.socket(socket.AF_UNIX),
    "run a program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "start a process": start_a_process,
    "signal the server": lambda: os.kill(SERVER, signal.SIGCONT),
    "slow the server down": lambda: os.setpriority(os.PRIO_PROCESS, SERVER, 1),
    "use memory without end": lambda: np.empty(1 << 34, np.int8),
}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"


raise ModelLoadFailed("; ".join(f"{name}: {outcome(attempt)}" for name, attempt in ATTEMPTS.items()))
