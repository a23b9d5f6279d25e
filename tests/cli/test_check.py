"""The checks themselves: they find faults, they crash on nothing, and our own server meets them."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from myna.cli.check import _GROUPS
from myna.cli.root import app


class _Careless(BaseHTTPRequestHandler):
    """A server that lists a model and answers everything else with nonsense."""

    def do_GET(self) -> None:
        self._answer(200, {"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(200, {"detail": "[bold]fine"})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def careless_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Careless)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_careless_server_fails_nearly_everything_and_crashes_nothing(careless_url: str) -> None:
    result = CliRunner().invoke(app, ["check", "--base-url", careless_url, "--json"])
    rows = json.loads(result.stdout)
    assert result.exit_code == 1
    # It lists no embedding and no guard model.
    groups = [group for group in _GROUPS if not group.endswith(("embeddings", "moderations"))]
    assert len(rows) == sum(len(import_module(group).CHECKS) for group in groups)
    held = [row["behaviour"] for row in rows if row["fault"] is None]
    assert len(held) <= 3, held


def test_the_table_and_the_document_count_what_holds(careless_url: str) -> None:
    for flags in ([], ["--markdown"]):
        result = CliRunner().invoke(app, ["check", "--base-url", careless_url, "--only", "retrieve", *flags])
        assert "of 2 behaviours" in result.stdout


def test_the_official_variable_says_which_server(careless_url: str) -> None:
    environment = {"OPENAI_BASE_URL": careless_url}
    result = CliRunner().invoke(app, ["check", "--only", "retrieve", "--json"], env=environment)
    assert len(json.loads(result.stdout)) == 2


def test_no_server_is_a_sentence_with_the_next_step() -> None:
    result = CliRunner().invoke(app, ["check", "--base-url", "http://127.0.0.1:9/v1"])
    assert result.exit_code != 0
    assert "myna serve" in str(result.exception)


def test_behaviours_have_different_names() -> None:
    names = [check.behaviour for group in _GROUPS for check in import_module(group).CHECKS]
    assert len(names) == len(set(names))


def test_the_page_has_a_row_for_each_behaviour() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "check.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (.+?) \| [✓✗] \| [✓✗–] \|", page, re.MULTILINE)
    assert shown == [
        f"{check.group}: {check.behaviour}" for group in _GROUPS for check in import_module(group).CHECKS
    ]
    num_held = len(re.findall(r"^\| .+? \| ✓ \|", page, re.MULTILINE))
    assert f"{num_held} of {len(shown)}" in page
