"""Calls of stores wait for each other, but not for ever, and for nothing else."""

import asyncio
import threading

import pytest

from myna.core.errors import DatabaseUnavailable
from myna.stores.database_threads import DatabaseThreads


async def test_results_and_errors_come_back() -> None:
    threads = DatabaseThreads(1)
    assert await threads.run(sorted, [3, 1, 2], reverse=True) == [3, 2, 1]
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    threads.close()


async def test_a_call_that_waited_too_long_for_a_thread_is_not_made() -> None:
    threads = DatabaseThreads(1, max_queue_s=-1.0)
    calls: list[str] = []
    with pytest.raises(DatabaseUnavailable):
        await threads.run(calls.append, "late")
    assert calls == []
    threads.close()


async def test_a_call_whose_client_has_left_is_not_made() -> None:
    threads = DatabaseThreads(1)
    began, go = threading.Event(), threading.Event()
    calls: list[str] = []

    def hang() -> None:
        began.set()
        assert go.wait(60)

    hanging = asyncio.create_task(threads.run(hang))
    assert await asyncio.to_thread(began.wait, 60)
    leaving = asyncio.create_task(threads.run(calls.append, "left"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    go.set()
    await hanging
    await threads.run(calls.append, "stayed")
    assert calls == ["stayed"]
    threads.close()
