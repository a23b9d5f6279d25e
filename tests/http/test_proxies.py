"""Behind a proxy: a path of its own, and which proxies are trusted about the client."""

import logging

import pytest
from tests.http.live import running
from tests.http.scripted import ScriptedGenerator, pool_of, services

from myna.app import HttpOptions

UNDER = HttpOptions(root_path="/llm")


@pytest.mark.parametrize("path", ["/llm/v1/models", "/v1/models", "/llm/health", "/health", "/llm/"])
async def test_a_root_path_may_come_with_the_request_or_not(path: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), UNDER) as live:
        assert (await live.ask("GET", path)).status == 200


async def test_ids_with_slashes_pass_below_a_root_path() -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), UNDER) as live:
        for path in ("/llm/v1/models/org%2Fmo%20del:v1@x", "/llm/v1/models/org/mo%20del:v1@x"):
            assert b'"org/mo del:v1@x"' in (await live.ask("GET", path)).body


async def test_the_page_is_a_folder() -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), UNDER) as live:
        reply = await live.ask("GET", "/llm")
        assert (reply.status, reply.headers["location"]) == (308, "/llm/")


@pytest.mark.parametrize("path", ["/llmv1/models", "/llm/llm/v1/models", "/other/v1/models"])
async def test_no_other_path_is_treated_as_it(path: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), UNDER) as live:
        assert (await live.ask("GET", path)).status == 404


@pytest.mark.parametrize(
    ("trusted", "client"),
    [
        (("127.0.0.0/8",), "203.0.113.7"),
        (("127.0.0.1/32", "198.51.100.0/24"), "203.0.113.7"),
        (("10.0.0.0/8",), "127.0.0.1"),
        ((), "127.0.0.1"),
    ],
)
async def test_only_a_trusted_proxy_says_who_asks(
    trusted: tuple[str, ...], client: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = HttpOptions(trusted_proxies=trusted)
    with caplog.at_level(logging.INFO, "myna.access"):
        async with running(services(pool_of(ScriptedGenerator([]))), options) as live:
            await live.ask("GET", "/v1/models", b"", "X-Forwarded-For: 192.0.2.66, 203.0.113.7")
    assert f"client={client} " in caplog.text


async def test_a_client_can_t_lie_past_the_proxy(caplog: pytest.LogCaptureFixture) -> None:
    """The proxy appends; the last address that isn't a proxy's counts, whatever comes before it."""
    options = HttpOptions(trusted_proxies=("127.0.0.1/32",))
    with caplog.at_level(logging.INFO, "myna.access"):
        async with running(services(pool_of(ScriptedGenerator([]))), options) as live:
            await live.ask("GET", "/v1/models", b"", "X-Forwarded-For: 127.0.0.1, 203.0.113.7")
            await live.ask("GET", "/v1/models", b"", "X-Forwarded-For: not an address\x01")
    assert "client=203.0.113.7 " in caplog.text
