"""What runs for long is started again when it fails, and nobody waits for what was lost."""

import asyncio
import threading

import pytest

from myna.core.supervision import SupervisedTask, SupervisedThread


async def test_a_task_that_fails_is_logged_and_restarted_and_its_waiters_get_the_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults: list[Exception] = [ValueError("a bug"), KeyError("another")]
    told: list[Exception] = []

    async def work() -> None:
        if faults:
            raise faults.pop(0)

    task = SupervisedTask("the work", work, on_failure=told.append, first_delay_s=0.0)
    task.start()
    assert await task.wait(60)
    assert [type(exc) for exc in told] == [ValueError, KeyError]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "the work failed unexpectedly" in caplog.text
    assert "ValueError: a bug" in caplog.text


async def test_a_task_runs_once_at_a_time_and_again_when_it_is_over() -> None:
    num_runs = 0
    go = asyncio.Event()

    async def work() -> None:
        nonlocal num_runs
        num_runs += 1
        await go.wait()

    task = SupervisedTask("the work", work)
    assert await task.wait(0), "it never began"
    for _ in range(3):
        task.start()
    go.set()
    assert await task.wait(60)
    assert num_runs == 1
    task.start()
    assert await task.wait(60)
    assert num_runs == 2


async def test_while_it_waits_to_be_started_again_it_says_so_and_can_be_cancelled() -> None:
    has_failed = asyncio.Event()

    async def work() -> None:
        raise ValueError("a bug")

    task = SupervisedTask("the work", work, on_failure=lambda exc: has_failed.set(), first_delay_s=3600)
    assert not task.is_delayed
    task.start()
    await has_failed.wait()
    assert task.is_delayed
    await task.aclose()
    assert not task.is_delayed
    assert await task.wait(0)


async def test_a_failure_handler_may_fail_itself(caplog: pytest.LogCaptureFixture) -> None:
    faults: list[Exception] = [ValueError("a bug")]
    num_runs = 0

    async def work() -> None:
        nonlocal num_runs
        num_runs += 1
        if faults:
            raise faults.pop()

    def on_failure(exc: Exception) -> None:
        raise KeyError("and in its handler")

    task = SupervisedTask("the work", work, on_failure=on_failure, first_delay_s=0.0)
    task.start()
    assert await task.wait(60)
    assert num_runs == 2


def test_a_thread_that_fails_is_started_again_until_its_work_is_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults: list[Exception] = [ValueError("a bug"), KeyError("another")]
    is_done = threading.Event()

    def work() -> None:
        if faults:
            raise faults.pop(0)
        is_done.set()

    thread = SupervisedThread("the work", work, first_delay_s=0.0)
    thread.start()
    assert is_done.wait(60)
    assert thread.stop(60)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_a_thread_that_is_stopped_while_it_waits_works_again_and_ends() -> None:
    num_runs = 0
    has_run = threading.Event()

    def work() -> None:
        nonlocal num_runs
        num_runs += 1
        has_run.set()
        raise ValueError("a bug")

    thread = SupervisedThread("the work", work, first_delay_s=3600)
    thread.start()
    assert has_run.wait(60)
    assert thread.stop(60)
    assert not thread.is_alive()
    assert num_runs <= 2
