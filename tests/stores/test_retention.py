"""Old completions are deleted in the background, and a clock that was set forward deletes nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from myna.core.stored import MAX_DELETED_ROWS, StoredCompletion
from myna.stores.database_threads import DatabaseThreads
from myna.stores.memory import MemoryCompletions
from myna.stores.retention import Retention

DAY_S = 86_400
NOW = 100 * DAY_S


class Clocks:
    """The wall clock, which anyone may set, and the steady one."""

    def __init__(self) -> None:
        self.wall = float(NOW)
        self.steady = 5.0


def filled(*ages_days: float) -> MemoryCompletions:
    store = MemoryCompletions()
    for number, age in enumerate(ages_days):
        created = NOW - int(age * DAY_S)
        store.put(StoredCompletion(f"chatcmpl-{number}", "ours", created, "m", b"{}", b"[]", b"{}", {}))
    return store


@asynccontextmanager
async def retention(store: MemoryCompletions, keep_days: int = 30) -> AsyncIterator[tuple[Retention, Clocks]]:
    threads, clocks = DatabaseThreads(1), Clocks()
    yield (
        Retention(
            [store],
            threads,
            keep_days,
            clock=lambda: clocks.wall,
            steady_clock=lambda: clocks.steady,
            pause_s=0,
        ),
        clocks,
    )
    threads.close()


async def test_what_is_too_old_is_deleted_however_much_it_is() -> None:
    store = filled(*[31.0] * (2 * MAX_DELETED_ROWS + 1), 29.0, 0.0)
    async with retention(store) as (deleting, _):
        assert await deleting.delete_old() == 2 * MAX_DELETED_ROWS + 1
        assert store.usage("ours").num_rows == 2


async def test_time_passes_while_the_server_runs() -> None:
    store = filled(29.0)
    async with retention(store) as (deleting, clocks):
        assert await deleting.delete_old() == 0
        clocks.wall += 2 * DAY_S
        clocks.steady += 2 * DAY_S
        assert await deleting.delete_old() == 1


async def test_a_clock_set_forward_deletes_nothing_and_one_set_back_neither() -> None:
    store = filled(29.0, 31.0)
    async with retention(store) as (deleting, clocks):
        clocks.wall += 1000 * DAY_S
        assert await deleting.delete_old() == 1
        clocks.wall -= 2000 * DAY_S
        assert await deleting.delete_old() == 0
    assert store.usage("ours").num_rows == 1


async def test_zero_days_keep_everything() -> None:
    store = filled(1000.0)
    async with retention(store, 0) as (deleting, _):
        deleting.start()
        await asyncio.sleep(0)
        await deleting.aclose()
    assert store.usage("ours").num_rows == 1
