"""Workers that start before their model is known: used once, with all that a worker gets, and confined."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from myna.core.confinement import missing
from myna.workers.client import WorkerClient
from myna.workers.frames import WorkerSpec
from myna.workers.launching import EarlyWorker, Inherited

# A module that starts a thread when the worker's own modules are imported, as a numeric library may.
_STARTS_A_THREAD = """
import sys, threading

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "myna.workers.serving":
            threading.Thread(target=threading.Event().wait, daemon=True).start()

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def early() -> Iterator[EarlyWorker]:
    worker = EarlyWorker()
    yield worker
    worker.close()


def started(early: EarlyWorker) -> int:
    early.start()
    assert early.pid is not None
    return early.pid


def ended(pid: int) -> None:
    """Wait until it has ended, without reaping it."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def opened_by(pid: int) -> set[Path]:
    return {path.resolve() for path in Path(f"/proc/{pid}/fd").iterdir()}


def of_process(pid: int) -> tuple[str, list[str]]:
    """Its command line, and the states of its threads."""
    process = Path(f"/proc/{pid}")
    return (process / "cmdline").read_text(), [path.read_text() for path in process.glob("task/*/status")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux shows what a process has opened")
async def test_a_model_gets_the_process_that_was_started_for_it(early: EarlyWorker, tmp_path: Path) -> None:
    pid = started(early)
    early.start()
    assert early.pid == pid
    lock, prefixes = tmp_path / "step.lock", tmp_path / "prefixes"
    spec = WorkerSpec("fake", "fake", step_lock=str(lock), prefix_file=str(prefixes), prefix_bytes=1 << 20)
    first, second = WorkerClient(spec, early=early), WorkerClient(WorkerSpec("fake", "fake"), early=early)
    try:
        await first.start()
        assert first.pid == pid
        assert first.info.engine == "fake"
        assert lock in opened_by(pid)
        await second.start()
        assert second.pid not in (None, pid)
    finally:
        await first.aclose()
        await second.aclose()


async def test_one_that_has_ended_is_not_used(early: EarlyWorker) -> None:
    pid = started(early)
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    client = WorkerClient(WorkerSpec("fake", "fake"), early=early)
    await client.start()
    await client.aclose()


def test_one_that_nobody_takes_ends_with_its_socket(early: EarlyWorker) -> None:
    early.start()
    launched = early.take(None, Inherited())
    assert launched is not None
    launched.socket.close()
    os.close(launched.output)
    assert launched.process.wait(60) == 0  # the bound is for failures only


def test_closing_ends_it(early: EarlyWorker) -> None:
    pid = started(early)
    early.close()
    assert early.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    early.close()


@pytest.mark.skipif(bool(missing()), reason="this system can't confine processes")
async def test_one_that_has_started_threads_starts_again_so_that_none_is_free(
    early: EarlyWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # a measured worker is not confined
    (tmp_path / "sitecustomize.py").write_text(_STARTS_A_THREAD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    pid = started(early)
    client = WorkerClient(WorkerSpec("fake", "fake", step_lock=str(tmp_path / "step.lock")), early=early)
    await client.start()
    try:
        assert client.pid == pid
        command, states = of_process(pid)
    finally:
        await client.aclose()
    assert '"is_early":false' in command
    assert len(states) > 2
    assert all("Seccomp:\t2" in state for state in states)
