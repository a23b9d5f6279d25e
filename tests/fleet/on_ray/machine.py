"""Ray's processes of one machine, which this one plays."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from myna.cli.fleet_head import agent_ports

_PATIENT = {"RAY_raylet_start_wait_time_s": "400", "RAY_gcs_server_request_timeout_seconds": "400"}
"""For busy machines."""


@contextmanager
def machine(log: Path, *options: str) -> Iterator[None]:
    """Of one with four cores, until the block ends. `options` are those of `ray start`."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options, *agent_ports()]
    with log.open("wb") as output:
        started = subprocess.Popen(
            [*command, "--num-cpus=4", "--object-store-memory=100000000"],
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**_PATIENT, **os.environ},
        )
    try:
        while "block forever" not in log.read_text():
            with suppress(subprocess.TimeoutExpired):
                started.wait(0.2)
            assert started.poll() is None, log.read_text()
        yield
    finally:
        with suppress(psutil.NoSuchProcess):  # it did not start
            family = [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]
            started.send_signal(signal.SIGTERM)
            for one in psutil.wait_procs(family, timeout=20)[1]:
                one.kill()
        started.wait()
