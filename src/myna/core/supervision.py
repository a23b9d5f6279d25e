"""Long-lived tasks and threads that must not die silently: failures are logged and the work is restarted,
after a delay that grows while it keeps failing."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final

FIRST_DELAY_S: Final = 0.1
_MAX_DELAY_S: Final = 30.0

_log: Final = logging.getLogger(__name__)


class SupervisedTask:
    """Runs `work` in a task of the event loop until it returns. `on_failure` receives every exception, so
    that callers waiting for lost work can be failed. To be used in one event loop."""

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        *,
        on_failure: Callable[[Exception], None] = lambda exc: None,
        first_delay_s: float = FIRST_DELAY_S,
    ) -> None:
        self._name = name
        self._work = work
        self._on_failure = on_failure
        self._delays = _Delays(first_delay_s)
        self._task: asyncio.Task[None] | None = None
        self.is_delayed = False
        """The work has failed and has not been started again yet."""

    def start(self) -> None:
        """Start the work, unless it is running."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the work to return; returns whether it has. Work that was never started counts as
        returned."""
        if self._task is None:
            return True
        await asyncio.wait([self._task], timeout=timeout_s)
        return self._task.done()

    async def aclose(self) -> None:
        """Cancel it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._work()
                return
            except Exception as exc:
                delay_s = self._delays.after(time.monotonic() - began)
                _report(self._name, delay_s)
                self._report_failure(exc)
            self.is_delayed = True
            try:
                await asyncio.sleep(delay_s)
            finally:
                self.is_delayed = False

    def _report_failure(self, exc: Exception) -> None:
        try:
            self._on_failure(exc)
        except Exception:
            _log.exception("the failure handler of %s failed", self._name)


class SupervisedThread:
    """Runs `work` in a daemon thread until it returns, or until it fails after `stop` was called."""

    def __init__(self, name: str, work: Callable[[], None], *, first_delay_s: float = FIRST_DELAY_S) -> None:
        self._name = name
        self._work = work
        self._delays = _Delays(first_delay_s)
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> bool:
        """Stop restarting the work and wait for it; returns whether it has ended. The caller must make `work`
        return."""
        self._is_stopped.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            is_last, began = self._is_stopped.is_set(), time.monotonic()
            try:
                self._work()
                return
            except Exception:
                delay_s = self._delays.after(time.monotonic() - began)
                _report(self._name, delay_s)
            if is_last:
                return
            self._is_stopped.wait(delay_s)


class _Delays:
    """Doubles with each failure; resets after a long run without one."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._next_s = first_s

    def after(self, ran_s: float) -> float:
        if ran_s > _MAX_DELAY_S:
            self._next_s = self._first_s
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, _MAX_DELAY_S)
        return delay_s


def _report(name: str, delay_s: float) -> None:
    _log.exception("%s failed unexpectedly and will be restarted in %.1f s", name, delay_s)
