"""No worker outlives its server, however the server ends and whatever the worker is doing."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from myna.core.confinement import Confinement
from myna.workers.frames import Load, WorkerSpec, encode
from myna.workers.main import Launch

SERVER = Path(__file__).with_name("orphan_server.py")


def ended_within(process_file: int, seconds: float) -> bool:
    """A process file becomes readable when its process has ended; the bound is for failures only."""
    return bool(select.select([process_file], [], [], seconds)[0])


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="process files are Linux's")
@pytest.mark.parametrize("arguments", [["fake"], ["model-stuck", "loading"]])
def test_killing_the_server_ends_its_worker(arguments: list[str]) -> None:
    with subprocess.Popen([sys.executable, str(SERVER), *arguments], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        worker = os.pidfd_open(int(server.stdout.readline()))
        try:
            assert not ended_within(worker, 0)
            server.send_signal(signal.SIGKILL)
            assert ended_within(worker, 30)
        finally:
            os.close(worker)


@pytest.mark.parametrize("path", ["fake", "model-stuck"])
def test_a_worker_ends_when_its_socket_closes(path: str) -> None:
    ours, theirs = socket.socketpair()
    launch = msgspec.json.encode(Launch(Confinement(), theirs.fileno())).decode()
    command = [sys.executable, "-m", "myna.workers.main", launch]
    with subprocess.Popen(command, pass_fds=(theirs.fileno(),)) as worker:
        theirs.close()
        with ours:
            ours.sendall(encode(Load(WorkerSpec("fake", path))))
            if path == "fake":
                assert ours.recv(4)  # it is loaded
        assert worker.wait(30) == 0
