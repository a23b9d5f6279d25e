"""How long the event loop stands still: the processor time of its own thread from one turn to the next."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.loop_guard import allowed_s, fail_held_up


class LoopWatch:
    """`longest_s` of the turns so far. Time that other threads or programs took doesn't count."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def run(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest_s = max(self.longest_s, now - before)
            before = now


@asynccontextmanager
async def unblocked_loop() -> AsyncIterator[None]:
    """Fails the test if a turn of the loop, the test's own tasks included, takes too long during the block.
    Collections of garbage, which grow with what other tests have left behind, wait for its end."""
    watch = LoopWatch()
    gc.disable()
    task = asyncio.create_task(watch.run())
    try:
        yield
        await asyncio.sleep(0)
    finally:
        task.cancel()
        gc.enable()
    if watch.longest_s > allowed_s():
        fail_held_up([f"{watch.longest_s * 1000:.0f} ms in one turn"])
