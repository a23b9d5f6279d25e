"""Which pages and host names get in: rebound names and other sites' posts stay out."""

import json

import pytest
from tests.http.live import running
from tests.http.scripted import ScriptedGenerator, pool_of, services, words

from myna.app import HttpOptions
from myna.http.origin import host_name, hosts_for

LOOPBACK = HttpOptions(hosts=hosts_for("127.0.0.1", ()))


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("127.0.0.1:8000", "127.0.0.1"),
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("Evil.Example:80", "evil.example"),
        ("", ""),
    ],
)
def test_a_host_header_is_read_without_port_and_brackets(header: str, name: str) -> None:
    assert host_name(header) == name


def test_on_loopback_its_own_names_are_let_in_and_elsewhere_a_list_if_there_is_one() -> None:
    assert hosts_for("127.0.0.1", ["my.box"]) >= {"localhost", "127.0.0.1", "::1", "my.box"}
    assert hosts_for("0.0.0.0", []) == frozenset()
    assert "my.box" in hosts_for("0.0.0.0", ["my.box"])


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8000", "", "localhost.", "a,localhost"]
)
async def test_a_rebound_name_is_refused(host: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([])), key=None), LOOPBACK) as live:
        reply = await live.ask("GET", "/v1/models", b"", f"Host: {host}")
    assert reply.status == 403
    assert json.loads(reply.body)["error"]["type"] == "request_forbidden"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://"])
async def test_another_sites_page_is_refused_before_anything_runs(origin: str) -> None:
    generator = ScriptedGenerator([words("a")])
    async with running(services(pool_of(generator), key=None), LOOPBACK) as live:
        reply = await live.ask("POST", "/v1/words", b'{"model": "tiny"}', f"Origin: {origin}")
        preflight = await live.ask("OPTIONS", "/v1/words", b"", f"Origin: {origin}")
    assert (reply.status, preflight.status) == (403, 403)
    assert "access-control-allow-origin" not in reply.headers
    assert generator.requests == []


async def test_the_servers_own_pages_and_programs_without_origin_get_in() -> None:
    async with running(services(pool_of(ScriptedGenerator([])), key=None), LOOPBACK) as live:
        own = f"http://localhost:{live.port}"
        page = await live.ask("GET", "/v1/models", b"", f"Host: localhost:{live.port}", f"Origin: {own}")
        program = await live.ask("GET", "/v1/models")
    assert (page.status, program.status) == (200, 200)


async def test_a_listed_origin_gets_cors_headers_and_its_preflight() -> None:
    options = HttpOptions(origins=frozenset({"https://app.example"}))
    async with running(services(pool_of(ScriptedGenerator([]))), options) as live:
        origin = "Origin: https://app.example"
        preflight = await live.ask(
            "OPTIONS", "/v1/models", b"", origin, "Access-Control-Request-Method: GET", key=""
        )
        reply = await live.ask("GET", "/v1/models", b"", origin)
        refused = await live.ask("GET", "/v1/models", b"", origin, key="sk-wrong")
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert reply.headers["access-control-allow-origin"] == "https://app.example"
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
