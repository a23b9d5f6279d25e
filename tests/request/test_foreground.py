"""Lines of batches give way to requests whose clients wait."""

import asyncio

from myna.request.foreground import Foreground


async def test_it_is_quiet_once_no_request_runs() -> None:
    foreground = Foreground(quiet_s=0.0)
    await foreground.quiet(60)
    with foreground.request():
        with foreground.request():
            waiting = asyncio.create_task(foreground.quiet(60))
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


async def test_a_request_that_follows_at_once_is_waited_for_too() -> None:
    foreground = Foreground(quiet_s=0.02)
    with foreground.request():
        waiting = asyncio.create_task(foreground.quiet(60))
    for _ in range(3):
        await asyncio.sleep(0)
        with foreground.request():
            await asyncio.sleep(0)
            assert not waiting.done()
    await waiting


async def test_nothing_waits_for_ever() -> None:
    foreground = Foreground()
    with foreground.request():
        await foreground.quiet(0.001)
