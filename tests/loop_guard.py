"""Watches every asyncio event loop of the test process for callbacks that hold it up."""

import asyncio
import gc
import resource
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

LIMIT_S: Final = 0.05
"""The most processor time of its own thread, outside the kernel, that one callback may take; waiting costs
nothing."""
TRACED: Final = 2.0
"""How many times as long Python code takes while coverage traces it, about."""
_TESTS: Final = str(Path(__file__).parent)
_TOOLS: Final = ("playwright", "nbclient", "jupyter_client", "zmq", "tornado")
"""Packages that only tests use, whose own work in the tests' event loop holds up no user."""


def _kernel_s() -> float:
    """Processor time of this thread in the kernel. Where a virtual machine's host has taken memory back, each
    page that is touched anew costs many times as much, whatever the code."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_stime


def allowed_s(limit_s: float = LIMIT_S) -> float:
    """`limit_s`, or more while coverage traces this thread."""
    return limit_s * (TRACED if sys.gettrace() is not None else 1.0)


def fail_held_up(blocked: list[str]) -> NoReturn:
    """Fail the test. pytest's `--only-rerun` in pyproject.toml knows these words: it runs the test once more,
    since a pause of a virtual machine can be charged to a thread's processor time, once. What really blocks
    blocks again."""
    pytest.fail("The event loop was held up: " + "; ".join(blocked), pytrace=False)


@dataclass
class LoopGuard:
    """Measures callbacks between `install` and `uninstall`; `blocked` says which took too long.

    A step of a task whose coroutine belongs to the tests or their tools is not counted: what a test itself
    computes holds up no user. The garbage collector isn't either: how long it takes depends on what pytest
    keeps alive. Loops of other kinds than asyncio's own (uvloop) aren't seen; the tests use none in this
    process.
    """

    limit_s: float = LIMIT_S
    blocked: list[str] = field(default_factory=list)
    _collecting: threading.local = field(default_factory=threading.local)
    _run: Any = None

    def install(self) -> None:
        original = self._run = asyncio.Handle._run
        collecting = self._collecting

        def run(handle: asyncio.Handle) -> None:
            collecting.spent_s = 0.0
            start, kernel_start = time.thread_time(), _kernel_s()
            try:
                original(handle)
            finally:
                spent_s = time.thread_time() - start - collecting.spent_s - (_kernel_s() - kernel_start)
                if spent_s > allowed_s(self.limit_s) and not _is_a_tests(handle):
                    self.blocked.append(f"{spent_s * 1000:.0f} ms in {_task_of(handle) or handle!r}")

        asyncio.Handle._run = run  # type: ignore[assignment, method-assign]
        gc.callbacks.append(self._on_collection)

    def uninstall(self) -> None:
        gc.callbacks.remove(self._on_collection)
        asyncio.Handle._run = self._run  # type: ignore[method-assign]

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        now = time.thread_time()
        if phase == "start":
            self._collecting.start = now
        else:
            spent_s = getattr(self._collecting, "spent_s", 0.0)
            self._collecting.spent_s = spent_s + now - getattr(self._collecting, "start", now)


def _task_of(handle: asyncio.Handle) -> "asyncio.Task[Any] | None":
    """The task that the callback is a step of."""
    task = getattr(getattr(handle, "_callback", None), "__self__", None)
    return task if isinstance(task, asyncio.Task) else None


def _is_a_tests(handle: asyncio.Handle) -> bool:
    """Whether it goes on with a coroutine of the tests, or is the work of their tools."""
    task = _task_of(handle)
    if task is not None:
        code = getattr(task.get_coro(), "cr_code", None)
    else:
        code = getattr(getattr(handle, "_callback", None), "__code__", None)
    if code is None:
        return False
    file = Path(code.co_filename)
    return any(tool in file.parts for tool in _TOOLS) or (task is not None and file.is_relative_to(_TESTS))
