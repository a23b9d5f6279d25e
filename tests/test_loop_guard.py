"""The guard of all tests: what it counts against a callback, and what it doesn't."""

import asyncio
import gc
import time
from collections.abc import Iterator

import pytest
from tests.loop_guard import LoopGuard

pytestmark = pytest.mark.allows_slow_callbacks("they hold up the loop on purpose")


@pytest.fixture
def guard() -> Iterator[LoopGuard]:
    guard = LoopGuard(limit_s=0.01)
    guard.install()
    yield guard
    guard.uninstall()


def _compute() -> None:
    """Mostly outside the kernel: reading a thread's clock is a system call, and the guard subtracts those."""
    start = time.thread_time()
    while time.thread_time() < start + 0.05:
        sum(range(50_000))


async def test_a_callback_that_computes_for_long_is_named(guard: LoopGuard) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_soon(_compute)
    loop.call_soon(done.set_result, None)
    await done
    [blocked] = guard.blocked
    assert "_compute" in blocked


async def test_what_runs_in_another_thread_holds_up_no_loop(guard: LoopGuard) -> None:
    await asyncio.to_thread(_compute)
    assert guard.blocked == []


async def test_the_tests_own_steps_do_not_count(guard: LoopGuard) -> None:
    _compute()
    await asyncio.sleep(0)
    assert guard.blocked == []


async def test_the_garbage_collector_does_not_count(guard: LoopGuard) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    kept = [[number] for number in range(500_000)]

    def collect() -> None:
        gc.collect()
        done.set_result(None)

    loop.call_soon(collect)
    await done
    assert guard.blocked == []
    assert kept
