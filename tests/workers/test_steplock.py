"""The step lock: one holder on a machine, turns between processes, released at death."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from myna.core.errors import ConfigurationError
from myna.workers.steplock import StepLock

# Says "in" inside the lock and stays there until it gets input.
HOLDER = """
import sys
from pathlib import Path
from myna.workers.steplock import StepLock
lock = StepLock.open(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    with lock:
        print("in", flush=True)
        sys.stdin.readline()
print("out", flush=True)
"""


def holder(path: Path, steps: int = 1) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(steps)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    path = tmp_path / "step.lock"
    with holder(path) as first:
        assert line(first) == "in"
        with holder(path) as second:
            tell(second)  # it may leave at once, when it gets in
            tell(first)
            assert line(first) == "out"
            assert [line(second), line(second)] == ["in", "out"]


def test_who_waits_comes_before_who_just_ran(tmp_path: Path) -> None:
    path = tmp_path / "step.lock"
    with holder(path, steps=2) as first:
        assert line(first) == "in"
        with holder(path) as second:
            wait_until_blocked(second.pid)
            tell(first)
            assert line(second) == "in"  # while the first wants its second step
            tell(second)
            assert line(second) == "out"
        assert line(first) == "in"
        tell(first)
        assert line(first) == "out"


def test_death_releases_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "step.lock"
    with holder(path) as first:
        assert line(first) == "in"
        first.send_signal(signal.SIGKILL)
    with StepLock.open(path):
        pass


def wait_until_blocked(pid: int) -> None:
    """Until the kernel's lock table shows a waiter of that process."""
    for _ in range(1_000_000):
        if any(
            "->" in entry and f" {pid} " in entry for entry in Path("/proc/locks").read_text().splitlines()
        ):
            return
    raise AssertionError("it never waited")


def test_a_link_or_anothers_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(ConfigurationError, match="can't be opened"):
        StepLock.open(tmp_path / "link")
    with pytest.raises(ConfigurationError):
        StepLock.open(tmp_path)


def test_closing_lets_another_in(tmp_path: Path) -> None:
    lock = StepLock.open(tmp_path / "made" / "step.lock")
    with lock:
        pass
    lock.close()
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
