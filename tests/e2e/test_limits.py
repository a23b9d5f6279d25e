"""Limits of real servers: one, and three on one database, PostgreSQL's or SQLite's."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from httpx import AsyncClient, Response
from tests.e2e.server import KEY, MODEL, ServerProcess, serving

SECRET = "a secret of the tests, long enough for it"


@pytest.fixture(params=["one", "three on SQLite", "three on PostgreSQL"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    """One server, or three that share nothing but a database and the secret."""
    num_servers = 1 if request.param == "one" else 3
    url = f"sqlite:///{tmp_path}/shared/myna.db"
    if "PostgreSQL" in request.param:
        url = request.getfixturevalue("postgresql_url")
    with ExitStack() as stack:
        running = []
        for number in range(num_servers):
            home = tmp_path / f"home{number}"
            home.mkdir()
            environment = {"MYNA_DATABASE": url, "MYNA_SECRET": SECRET}
            running.append(stack.enter_context(serving(home, "--engine", "fake", **environment)))
        yield running


async def _limit(client: AsyncClient, server: ServerProcess, **amounts: int) -> None:
    reply = await client.post(f"{server.base_url}/organization/rate_limits/rl-all", json=amounts)
    assert reply.status_code == 200, reply.text


async def _know(client: AsyncClient, servers: list[ServerProcess], header: str, limit: int) -> None:
    """Every server has heard of the limit: within a second, so the second answer says it at the latest."""
    for server in servers:
        for _ in range(1000):
            reply = await _ask(client, server)
            if reply.headers.get(header) == str(limit):
                break
            await asyncio.sleep(0)
        else:
            raise AssertionError(f"{server.base_url} does not know of the limit: {reply.headers}")


async def _ask(client: AsyncClient, server: ServerProcess) -> Response:
    body = {"model": MODEL, "prompt": "x", "max_tokens": 1}
    return await client.post(f"{server.base_url}/completions", json=body)


def _client() -> AsyncClient:
    return AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=60)


async def test_of_a_burst_no_more_than_the_limit_and_the_refill_are_let_in(
    servers: list[ServerProcess],
) -> None:
    async with _client() as client:
        await _limit(client, servers[0], max_requests_per_1_minute=60)
        await _know(client, servers, "x-ratelimit-limit-requests", 60)
        began = time.monotonic()
        replies = await asyncio.gather(
            *(_ask(client, servers[number % len(servers)]) for number in range(150))
        )
        elapsed_s = time.monotonic() - began
        num_in = sum(reply.status_code == 200 for reply in replies)
        refused = [reply for reply in replies if reply.status_code != 200]
        assert {reply.status_code for reply in refused} == {429}
        # Some were spent on asking what the servers know; those count in the same window.
        assert num_in <= 60 + elapsed_s
        left = await _ask(client, servers[-1])
        if left.status_code == 429:
            assert "requests per min (RPM): Limit 60, Used 60, Requested 1" in left.json()["error"]["message"]
