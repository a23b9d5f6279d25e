"""Which pages and host names get in: rebound names and other sites' posts stay out."""

import json

import pytest
from tests.http.live import running
from tests.http.scripted import ScriptedGenerator, pool_of, services, words

from myna.app import HttpOptions
from myna.http.origin import AllowedSources, host_name, hosts_for

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


def test_on_loopback_its_own_names_are_allowed_and_elsewhere_a_list_if_there_is_one() -> None:
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


APPS = [
    "app://obsidian.md",
    "tauri://localhost",
    "capacitor://localhost",
    "chrome-extension://fcoeoabgfenejglbffodgkkbkcdhcgfn",
    "moz-extension://0a1b2c3d-0000-0000-0000-000000000000",
    "http://localhost:3000",
    "https://localhost",
    "http://127.0.0.1:1",
    "http://[::1]:5173",
    "http://app.localhost:80",
    "file://",
    "null",
]
PREFLIGHT = (
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Headers: authorization,x-stainless-os",
)


@pytest.mark.parametrize("origin", APPS)
async def test_apps_and_extensions_get_in_with_a_key(origin: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([words("a")]))), LOOPBACK) as live:
        preflight = await live.ask("OPTIONS", "/v1/words", b"", f"Origin: {origin}", *PREFLIGHT, key="")
        reply = await live.ask("POST", "/v1/words", b'{"model": "tiny"}', f"Origin: {origin}")
        wrong = await live.ask("POST", "/v1/words", b'{"model": "tiny"}', f"Origin: {origin}", key="sk-wrong")
    assert (preflight.status, reply.status, wrong.status) == (204, 200, 401)
    assert preflight.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
    for answer in (preflight, reply, wrong):
        assert answer.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/v1/models", "X: y"),
        ("/v1/models", "Cookie: session=1"),
        ("/v1/models", "Authorization: Basic OnNrLXRlc3QtMDEyMzQ1Njc4OWFiY2RlZg=="),
        ("/metrics", "Authorization: Bearer x"),
        ("/health", "Authorization: Bearer x"),
        ("/", "Authorization: Bearer x"),
    ],
)
async def test_a_page_that_has_no_key_stays_out(path: str, header: str) -> None:
    """A browser may add cookies and a password by itself; a token only a program that knows it."""
    families = ("myna.api.models.routes", "myna.api.monitoring.routes")
    async with running(services(pool_of(ScriptedGenerator([]))), LOOPBACK, families) as live:
        for origin in ("null", "http://localhost:3000"):
            assert (await live.ask("GET", path, b"", f"Origin: {origin}", header, key="")).status == 403


@pytest.mark.parametrize("origin", APPS)
async def test_a_server_without_keys_is_open_to_no_page(origin: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([])), key=None), LOOPBACK) as live:
        reply = await live.ask("GET", "/v1/models", b"", f"Origin: {origin}")
        preflight = await live.ask("OPTIONS", "/v1/words", b"", f"Origin: {origin}", *PREFLIGHT)
    assert (reply.status, preflight.status) == (403, 403)
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://192.168.1.2",
        "https://app",
        "[",
        "http://[",
    ],
)
async def test_a_sites_page_stays_out_with_a_key_too(origin: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), LOOPBACK) as live:
        reply = await live.ask("GET", "/v1/models", b"", f"Origin: {origin}")
    assert reply.status == 403
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "host",
    [
        "[::1]evil.com",
        "127.0.0.1:8271@evil.com",
        "localhost:evil",
        "a b",
        "[::1",
        "::1",
        "localhost/x",
        "a:1:2",
    ],
)
async def test_a_malformed_host_is_refused_everywhere(host: str) -> None:
    for options in (LOOPBACK, HttpOptions()):
        async with running(services(pool_of(ScriptedGenerator([]))), options) as live:
            reply = await live.ask("GET", "/v1/models", b"", f"Host: {host}")
        assert reply.status == 400
        assert "Host header" in json.loads(reply.body)["error"]["message"]


@pytest.mark.parametrize("field", ["Host: localhost", "Authorization: Bearer x", "Origin: null"])
async def test_a_field_that_must_be_single_is_refused_twice(field: str) -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), LOOPBACK) as live:
        reply = await live.ask("GET", "/v1/models", b"", field, field)
    assert reply.status == 400
    assert f"more than one {field.partition(':')[0]} header" in json.loads(reply.body)["error"]["message"]


async def test_local_names_and_dockers_are_hosts_by_default() -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), LOOPBACK) as live:
        names = ("myna.localhost", "a.b.localhost:8000", "host.docker.internal:8000")
        replies = [await live.ask("GET", "/v1/models", b"", f"Host: {name}") for name in names]
        other = await live.ask("GET", "/v1/models", b"", "Host: evillocalhost")
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert other.status == 403
    assert "host.docker.internal" not in hosts_for("127.0.0.1", (), asks_for_key=False)


def test_an_allowed_host_may_be_all_names_of_a_domain() -> None:
    sources = AllowedSources(hosts_for("127.0.0.1", ["*.box.example"]), ())
    assert sources.admits_host("my.box.example")
    assert not sources.admits_host("box.example")


async def test_only_http_1_0_may_lack_a_host() -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), HttpOptions()) as live:
        modern = await live.send(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        old = await live.send(b"GET /health HTTP/1.0\r\n\r\n")
        replies = await modern.reply(), await old.reply()
    assert [reply.status for reply in replies] == [400, 200]


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"[" * 400, b'{"code": "' + b"A" * 1000 + b'"}', b"\xff", b"{}"]
)
async def test_a_sign_in_body_of_any_kind_is_an_invalid_code(body: bytes) -> None:
    async with running(services(pool_of(ScriptedGenerator([]))), LOOPBACK) as live:
        reply = await live.ask("POST", "/sign-in", body, key="")
    assert reply.status == 403
    assert json.loads(reply.body)["error"]["code"] == "invalid_sign_in_code"
