"""When a line is tried again, and how many run at once then."""

import asyncio

import pytest

from myna.batches.concurrency import ConcurrencyLimiter
from myna.batches.dispatch import MAX_ATTEMPTS, Answer

BUSY = b'{"error": {"code": "server_is_overloaded"}}'


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        (Answer(200, "r", b"{}"), [None, None]),
        (Answer(400, "r", b"{}"), [None, None]),
        (Answer(401, "r", b"{}"), [None, None]),
        (Answer(429, "r", b"{}", False, 3600.0), [60.0, 60.0]),
        (Answer(429, "r", b"{}", True, 0.0), [0.1, 0.1]),
        (Answer(429, "r", b"{}"), [None, None]),
        (Answer(500, "r", b"{}"), [None, None]),
        (Answer(503, "r", BUSY, True), [1.0, 32.0]),
        (Answer(502, "r", b"{}", True), [1.0, None]),
    ],
)
def test_what_passes_is_waited_for(answer: Answer, waits: list[float | None]) -> None:
    assert [answer.wait_s(1), answer.wait_s(MAX_ATTEMPTS)] == waits


async def test_refusals_halve_what_runs_at_once_and_answers_raise_it_again() -> None:
    limiter, running, most = ConcurrencyLimiter(8), 0, 0

    async def attempt() -> None:
        nonlocal running, most
        async with limiter:
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    async def most_of(count: int) -> int:
        nonlocal most
        most = 0
        await asyncio.gather(*(attempt() for _ in range(count)))
        return most

    assert await most_of(20) == 8
    limiter.refused(0.001)
    limiter.refused(0.001)
    assert await most_of(20) == 4, "those that ran at once are refused together"
    for _ in range(10):
        limiter.answered()
    assert await most_of(20) == 8
