"""Limits of real servers: one, and three on one database, PostgreSQL's or SQLite's."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

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


def _client(key: str = KEY) -> AsyncClient:
    return AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=60)


async def _new_key(admin: AsyncClient, server: ServerProcess, **amounts: int) -> str:
    path = f"{server.base_url}/organization/projects/default/api_keys"
    made = (await admin.post(path, json={"name": "x"})).json()
    if amounts:
        reply = await admin.post(f"{path}/{made['id']}/rate_limits/rl-all", json=amounts)
        assert reply.status_code == 200, reply.text
    return str(made["value"])


async def _limited_key(servers: list[ServerProcess], **amounts: int) -> str:
    """A key that every server knows with its limits: a server that knows a later one has looked since."""
    async with _client() as admin:
        key = await _new_key(admin, servers[0], **amounts)
        async with _client(await _new_key(admin, servers[0])) as later:
            for server in servers:
                assert (await later.get(f"{server.base_url}/models")).status_code == 200
    return key


async def _ask(client: AsyncClient, server: ServerProcess, **body: Any) -> Response:
    body = {"model": MODEL, "prompt": "x", "max_tokens": 1} | body
    return await client.post(f"{server.base_url}/completions", json=body)


async def test_of_a_burst_the_limit_is_admitted_and_what_flows_in_meanwhile(
    servers: list[ServerProcess],
) -> None:
    key = await _limited_key(servers, max_requests_per_1_minute=60)
    async with _client(key) as client:
        began = time.monotonic()
        asked = [_ask(client, servers[number % len(servers)]) for number in range(150)]
        replies = await asyncio.gather(*asked)
        elapsed_s = time.monotonic() - began
    assert {reply.status_code for reply in replies} == {200, 429}
    num_in = sum(reply.status_code == 200 for reply in replies)
    assert 60 <= num_in <= 60 + elapsed_s
    for reply in replies:
        if reply.status_code == 429:
            message = reply.json()["error"]["message"]
            assert "on requests per min (RPM): Limit 60, Used 60, Requested 1. Please try again in" in message
            assert int(reply.headers["retry-after-ms"]) <= 1000


async def test_tokens_are_reserved_together_and_settled(servers: list[ServerProcess]) -> None:
    key = await _limited_key(servers, max_tokens_per_1_day=1000)
    async with _client(key) as client:
        asked = [_ask(client, servers[number % len(servers)], max_tokens=100) for number in range(60)]
        replies = await asyncio.gather(*asked)
        used = sum(reply.json()["usage"]["total_tokens"] for reply in replies if reply.status_code == 200)
        assert used <= 1000 + 1
        last = await _ask(client, servers[0], max_tokens=1)
    assert int(last.headers["x-ratelimit-remaining-tokens"]) <= 1001 - used


async def test_seats_are_shared_by_all_servers(servers: list[ServerProcess]) -> None:
    key = await _limited_key(servers, max_concurrent_requests=2)
    async with _client(key) as client:
        body = {
            "model": MODEL,
            "prompt": "[[slow 20]]",
            "max_tokens": 2000,
            "ignore_eos": True,
            "stream": True,
        }
        first, last = servers[0].base_url, servers[-1].base_url
        async with (
            client.stream("POST", f"{first}/completions", json=body) as one,
            client.stream("POST", f"{last}/completions", json=body) as two,
        ):
            assert (one.status_code, two.status_code) == (200, 200)
            refused = await _ask(client, servers[-1])
            assert refused.status_code == 429
            assert "concurrent requests: Limit 2, Used 2" in refused.json()["error"]["message"]
        # Both clients have left; the servers notice, and give the permits back.
        for _ in range(10_000):
            if (await _ask(client, servers[-1])).status_code == 200:
                break
        else:
            raise AssertionError("the permits are still taken")
