"""Python in the page: what it prints, how it ends, and that it can reach nothing."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Route, expect
from tests.e2e.server import ServerProcess, serving
from tests.web.browser import Visitor, chromium_path
from tests.web.conftest import root_of
from tests.web.playing import Player

from myna.catalog.pyodide import PYODIDE
from myna.settings import load_settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that has Python for the page."""
    chromium_path()
    folder = PYODIDE.folder(load_settings().home)
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; fetch it with: myna pull pyodide")
    home = tmp_path_factory.mktemp("home")
    PYODIDE.folder(home).symlink_to(folder)
    with serving(home, "--engine", "fake") as running:
        yield running


@pytest.fixture(scope="module")
def runner(browser: Browser, server: ServerProcess) -> Iterator[Player]:
    """One visitor for all runs: Python starts once."""
    visitor = Visitor(browser.new_page(locale="en-GB"), root_of(server))
    visitor.watch()
    yield Player(visitor)
    visitor.page.close()
    assert visitor.unexpected() == []


def show(player: Player, code: str) -> Locator:
    """Have the model write the code; its block."""

    def answer(route: Route) -> None:
        text = f"```python\n{code}\n```"
        event = {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
        body = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
        route.fulfill(content_type="text/event-stream", body=body)

    player.page.route("**/v1/chat/completions", answer)
    player.button("New conversation").click()
    return player.ask("Code?").locator(".code-block")


def run(player: Player, code: str) -> Locator:
    block = show(player, code)
    block.get_by_role("button", name="Run", exact=True).click()
    ran = block.locator(".run")
    expect(ran).to_have_attribute("aria-busy", "false")
    return ran


def test_what_it_prints_and_is_worth_is_shown(runner: Player) -> None:
    ran = run(runner, "import sys\nprint('hello', 你 := 'こんにちは')\nprint('oops', file=sys.stderr)\n6 * 7")
    expect(ran.locator(".out")).to_have_text("hello こんにちは\n")
    expect(ran.locator(".err")).to_have_text("oops\n")
    expect(ran.locator(".value")).to_have_text("42")


def test_an_error_shows_its_own_lines_alone(runner: Player) -> None:
    trouble = run(runner, "def f():\n    return 1 / 0\nf()").locator(".trouble")
    expect(trouble).to_contain_text("ZeroDivisionError")
    expect(trouble).to_contain_text('File "<code>", line 2')
    expect(trouble).not_to_contain_text("_pyodide")
    expect(run(runner, "print('a'")).to_contain_text("SyntaxError")
    expect(run(runner, "input('?')")).to_contain_text("EOFError")


def test_runs_share_no_names_and_silence_is_said(runner: Player) -> None:
    expect(run(runner, "secret = 1")).to_contain_text("produced no output")
    expect(run(runner, "secret")).to_contain_text("NameError")


def test_endless_code_can_be_stopped(runner: Player) -> None:
    block = show(runner, "print('begun', flush=True)\nwhile True:\n    pass")
    block.get_by_role("button", name="Run", exact=True).click()
    expect(block.locator(".out")).to_contain_text("begun")
    block.get_by_role("button", name="Stop", exact=True).click()
    expect(block.locator(".run")).to_contain_text("Stopped.")
    expect(run(runner, "print('again')")).to_contain_text("again")


def test_endless_output_is_cut(runner: Player) -> None:
    ran = run(runner, "for i in range(200_000):\n    print('a line of some length', i)\n'end'")
    expect(ran).to_contain_text("more than 200000 characters")
    expect(ran.locator(".value")).to_have_text("'end'")
    assert len(ran.inner_text()) < 250_000


class Trap(BaseHTTPRequestHandler):
    """Counts requests."""

    visits: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.visits.append(self.path)
        self.send_response(200)
        self.send_header("access-control-allow-origin", "*")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None: ...


ESCAPES = """
import js
from pyodide.ffi import run_sync
tried = []
async def attempt(name, work):
    try:
        result = work()
        if hasattr(result, 'then'):
            result = await result
        tried.append(f'{name}: reached')
    except BaseException as error:
        tried.append(f'{name}: refused')
url = 'URL'
await attempt('fetch', lambda: js.fetch(url))
xhr = js.XMLHttpRequest.new()
await attempt('xhr', lambda: (xhr.open('GET', url, False), xhr.send()))
await attempt('own fetch', lambda: js.Object.getPrototypeOf(js.self).fetch(url))
await attempt('import', lambda: js.eval(f'import("{url}")'))
await attempt('importScripts', lambda: js.importScripts(url))
await attempt('indexedDB', lambda: js.indexedDB.open('myna'))
await attempt('caches', lambda: js.caches.open('x'))
await attempt('document', lambda: js.document.cookie)
await attempt('parent', lambda: js.parent.location)
await attempt('page', lambda: js.localStorage.getItem('myna.key'))
import urllib.request
await attempt('urllib', lambda: urllib.request.urlopen(url, timeout=1))
import socket
# Python's sockets are made of the browser's, which say nothing when they are refused.
try:
    socket.create_connection(('127.0.0.1', PORT), timeout=1)
except OSError:
    pass
js.WebSocket.new(url.replace('http', 'ws'))
js.EventSource.new(url)
js.navigator.sendBeacon(url) if hasattr(js.navigator, 'sendBeacon') else None
print('\\n'.join(tried))
"""


def test_it_reaches_no_network_and_no_storage(runner: Player) -> None:
    runner.visitor.expect_complaint("Content Security Policy")
    with ThreadingHTTPServer(("127.0.0.1", 0), Trap) as trap:
        Thread(target=trap.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{trap.server_port}/"
        ran = run(runner, ESCAPES.replace("URL", url).replace("PORT", str(trap.server_port)))
        expect(ran.locator(".out")).to_contain_text("urllib")
        said = ran.locator(".out").inner_text().strip().splitlines()
        trap.shutdown()
    assert [line for line in said if not line.endswith("refused")] == []
    assert len(said) == 11
    assert Trap.visits == []


def test_endless_code_ends_by_itself(runner: Player) -> None:
    block = show(runner, "while True:\n    pass")
    runner.page.clock.install()
    try:
        block.get_by_role("button", name="Run", exact=True).click()
        expect(block.locator(".run")).to_contain_text("Running (at most 30 s)")
        runner.page.clock.fast_forward(31_000)
        expect(block.locator(".run")).to_contain_text("Stopped after 30 s")
    finally:
        runner.page.clock.resume()


def test_without_python_the_page_says_how_to_get_it(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("bare"), "--engine", "fake") as bare:
        visitor = Visitor(browser.new_page(locale="en-GB"), root_of(bare))
        visitor.watch()
        visitor.expect_complaint("404")
        expect(run(Player(visitor), "1")).to_contain_text("myna pull pyodide")
        visitor.page.close()
        assert visitor.unexpected() == []
        for name in ("..%2Fmyna.db", "pyodide.js", "..", "%2e%2e%2f"):
            assert httpx.get(f"{root_of(bare)}static/pyodide/{name}").status_code == 404


def test_the_frame_is_confined_wherever_it_is_opened(server: ServerProcess) -> None:
    answer = httpx.get(f"{root_of(server)}static/runner/frame.html")
    policy = answer.headers["content-security-policy"]
    assert "sandbox allow-scripts;" in policy
    assert "connect-src 'none'" in policy
    assert "default-src 'none'" in policy
    assert "'unsafe-eval'" not in policy.replace("'wasm-unsafe-eval'", "")
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'self'" in policy
