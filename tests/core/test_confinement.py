"""What a confined process may still do. `tests/workers/test_confined_worker.py` tries what it may not."""

import subprocess
import sys
from pathlib import Path

import pytest

from myna.core import landlock
from myna.core.confinement import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason="this system can't confine processes")

# Everything that engines do.
WORK = """
import os, resource, signal, sys, threading
from myna.core.confinement import Confinement, confine
confine(Confinement(readable=(sys.argv[1],), data_bytes=1 << 30, oom_score_adj=1))
thread = threading.Thread(target=print, args=("threads",)); thread.start(); thread.join()
import mmap
with open(sys.argv[1], "rb") as file:
    print(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)[:].decode())
import numpy
print(int((numpy.ones((300, 300)) @ numpy.ones((300, 300)))[0, 0]))
os.sched_setaffinity(0, os.sched_getaffinity(0))
signal.raise_signal(signal.SIGCHLD)
resource.getrlimit(resource.RLIMIT_STACK)
open("/proc/self/cgroup").close()
open("/proc/meminfo").close()
open(os.devnull, "w").close()
print(len(bytearray(1 << 29)))
sys.stdout.flush()
os.abort()
"""


def test_a_confined_process_computes_as_before(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_text("mapped")
    done = subprocess.run([sys.executable, "-c", WORK, weights], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["threads", "mapped", "300", str(1 << 29)]
    assert done.returncode == -6, done.stderr


REFUSED = """
import os, sys
from myna.core import confinement
from myna.core.confinement import Confinement, confine
if sys.argv[1] == "older":
    confinement.landlock.version = lambda: 0
confine(Confinement())
for attempt in (lambda: open("/etc/passwd").read(), os.fork):
    try:
        attempt()
        print("done")
    except PermissionError:
        print("refused")
"""


@pytest.mark.parametrize(("kernel", "outcome"), [("this", "refused"), ("older", "done")])
def test_without_landlock_the_rest_is_still_applied(kernel: str, outcome: str) -> None:
    done = subprocess.run([sys.executable, "-c", REFUSED, kernel], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [outcome, "refused"]


def test_what_a_system_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing() == ()
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert missing() == ("Landlock",)
