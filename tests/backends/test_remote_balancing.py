"""Several upstreams for one model: which is asked, which is left out and for how long, and who waits."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from tests.backends.raw_upstream import (
    CHAT,
    DONE,
    EVENT,
    JSON_HEAD,
    LAST,
    STREAM_HEAD,
    WHOLE,
    Front,
    RawUpstream,
    asking,
    fronting,
    head,
    listening,
    section,
    send,
    send_and_reset,
    send_and_stall,
)

from myna.backends.remote.balancing import Balancer
from myna.backends.remote.section import UpstreamConfig
from myna.backends.remote.upstream import Upstream
from myna.core.errors import Overloaded

GOOD = send(JSON_HEAD, WHOLE)
BROKEN = send(head(500, "text/html"))


async def two(stack: AsyncExitStack, first: RawUpstream, second: RawUpstream, **more: object) -> Front:
    entries: dict[str, dict[str, object]] = {}
    for name, upstream in (("one", first), ("two", second)):
        await stack.enter_async_context(listening(upstream))
        entries[name] = {"url": upstream.url, "models": ["far-1"], **more}
    return await stack.enter_async_context(fronting(section(**entries)))


@pytest.mark.parametrize(
    "behave",
    [
        send(),
        BROKEN,
        send(head(401, "application/json"), b"{}"),
        send(head(404, "application/json"), b"{}"),
        send(head(429, "application/json"), b"{}"),
        send(head(503, "application/json"), b"{}"),
        send(head(200, "text/html")),
    ],
)
async def test_a_request_that_was_not_answered_goes_to_the_next(behave: object) -> None:
    async with AsyncExitStack() as stack:
        one, other = RawUpstream([behave]), RawUpstream([GOOD])  # type: ignore[list-item]
        front = await two(stack, one, other)
        reply = await front.live.ask("POST", CHAT, asking(is_stream=False))
        assert (reply.status, reply.body) == (200, WHOLE)
    assert (len(one.requests), len(other.requests)) == (1, 1)
    assert one.requests[0].body == other.requests[0].body
    assert [row.outcome for row in front.ledger.rows] == ["completed"]


@pytest.mark.parametrize(
    "behave",
    [send_and_reset(STREAM_HEAD, EVENT), send(STREAM_HEAD), send(STREAM_HEAD, b"garbage\n\n")],
    ids=["reset", "no event", "garbage"],
)
async def test_nothing_is_asked_twice_after_its_answer_began(behave: object) -> None:
    async with AsyncExitStack() as stack:
        one, other = RawUpstream([behave]), RawUpstream([GOOD])  # type: ignore[list-item]
        front = await two(stack, one, other)
        await front.live.ask("POST", CHAT, asking(is_stream=True))
    assert (len(one.requests), len(other.requests)) == (1, 0)


async def test_a_refusal_of_the_request_itself_goes_to_nobody_else() -> None:
    async with AsyncExitStack() as stack:
        one, other = RawUpstream([send(head(400, "application/json"), b"{}")]), RawUpstream([GOOD])
        front = await two(stack, one, other)
        assert (await front.live.ask("POST", CHAT, asking(is_stream=False))).status == 400
    assert not other.requests


async def test_one_that_took_too_long_is_followed_by_no_other() -> None:
    async with AsyncExitStack() as stack:
        one, other = RawUpstream([send_and_stall()]), RawUpstream([GOOD])
        front = await two(stack, one, other, timeout=0.2)
        assert (await front.live.ask("POST", CHAT, asking(is_stream=False))).status == 504
    assert not other.requests


async def test_a_failed_one_is_left_out_for_a_growing_time_and_tried_again() -> None:
    async with AsyncExitStack() as stack:
        one, other = RawUpstream([BROKEN, BROKEN, GOOD, BROKEN]), RawUpstream([GOOD])
        front = await two(stack, one, other)
        seen = []
        for now in (0.0, 0.9, 1.1, 3.0, 3.2, 3.3, 4.2, 4.4):
            front.clock[0] = now
            assert (await front.live.ask("POST", CHAT, asking(is_stream=False))).status == 200
            seen.append(len(one.requests))
    # It fails at 0 (for 1 s) and at 1.1 (for 2 s); it answers at 3.2, so that its next pause is short again.
    assert seen == [1, 1, 2, 2, 3, 4, 4, 5]


async def test_the_only_one_is_tried_even_while_it_is_left_out() -> None:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(listening(RawUpstream([BROKEN, GOOD])))
        front = await stack.enter_async_context(
            fronting(section(one={"url": upstream.url, "models": ["far-1"]}))
        )
        replies = [await front.live.ask("POST", CHAT, asking(is_stream=False)) for _ in range(2)]
    assert [reply.status for reply in replies] == [502, 200]


def balancer(*weights: float, max_requests: int = 64, max_queue: int = 1, timeout: float = 60) -> Balancer:
    found = Balancer()
    found.max_queue = max_queue
    found.upstreams = tuple(
        Upstream(
            str(index),
            UpstreamConfig(
                url="http://x", models=("m",), weight=weight, max_requests=max_requests, timeout=timeout
            ),
            found.wake,
        )
        for index, weight in enumerate(weights)
    )
    return found


async def test_the_least_busy_by_weight_is_asked() -> None:
    found = balancer(1.0, 3.0)
    for _ in range(8):
        upstream = await found.choose("m", [])
        assert upstream is not None
        upstream.num_running += 1
    assert [upstream.num_running for upstream in found.upstreams] == [2, 6]
    assert await found.choose("other", []) is None
    assert await found.choose("m", list(found.upstreams)) is None


async def test_while_all_are_full_requests_wait_and_the_next_is_refused() -> None:
    found = balancer(1.0, max_requests=1)
    (upstream,) = found.upstreams
    upstream.num_running = 1
    waiting = asyncio.create_task(found.choose("m", []))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await found.choose("m", [])
    upstream._on_end(None)
    assert await waiting is upstream
    with pytest.raises(Overloaded, match="in time"):
        full = balancer(1.0, max_requests=1, timeout=0.01)
        full.upstreams[0].num_running = 1
        await full.choose("m", [])


async def test_requests_over_the_upstream_s_number_wait_for_one_that_ends() -> None:
    gate = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send(STREAM_HEAD, EVENT)(reader, writer)
        await gate.wait()
        await send(LAST, DONE)(reader, writer)

    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(listening(RawUpstream([slow])))
        entry: dict[str, object] = {"url": upstream.url, "models": ["far-1"], "max_requests": 1}
        front = await stack.enter_async_context(fronting(section(one=entry)))
        asked = [asyncio.create_task(front.live.ask("POST", CHAT, asking(is_stream=True))) for _ in range(2)]
        await upstream.is_asked.wait()
        gate.set()
        replies = await asyncio.gather(*asked)
    assert [reply.body for reply in replies] == [EVENT + LAST + DONE] * 2
