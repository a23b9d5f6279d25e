"""`myna catalog`: what is taken, what is refused, and what is shown."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.catalog.catalogs import catalog_bytes, model
from tests.cli.conftest import Run

from myna.catalog.catalog_file import bundled_catalog, catalog_path, open_catalog, read_catalog
from myna.cli.catalog import changes

DATA = catalog_bytes(model("bird-1b"), model("cat-1b"))


@pytest.fixture
def address() -> Iterator[str]:
    """Of a server that has `DATA` under any path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(DATA)

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/models.json"
        server.shutdown()
        thread.join()


def test_a_newer_catalog_is_taken_from_an_address_with_its_hash(run: Run, home: Path, address: str) -> None:
    assert "needs its hash" in run("catalog", "update", address).err
    assert "has the SHA-256" in run("catalog", "update", address, "--sha256", "0" * 64).err
    assert open_catalog(home) is bundled_catalog()
    shown = run("catalog", "update", address, "--sha256", hashlib.sha256(DATA).hexdigest().upper()).out
    assert "new: bird-1b\n" in shown
    assert "removed: qwen3-4b\n" in shown
    assert shown.endswith("The catalog of 2030-01-01 has 2 models.\n")
    assert catalog_path(home).read_bytes() == DATA
    assert [path.name for path in home.iterdir() if path.name.startswith(".catalog")] == []
    rows = json.loads(run("models", "--available", "--json").out)
    assert {row["id"] for row in rows} == {"bird-1b", "cat-1b"}
    assert "did you mean 'bird-1b'" in run("pull", "bird-2b").err
    assert "one of this version" in run("catalog", "reset").out
    assert open_catalog(home) is bundled_catalog()


def test_a_catalog_that_is_not_newer_or_not_valid_changes_nothing(
    run: Run, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "models.json"
    file.write_bytes(DATA)
    assert run("catalog", "update", str(file)).code == 0
    assert "is not older" in run("catalog", "update", str(file)).err
    file.write_bytes(b"{")
    assert "This is not a valid catalog" in run("catalog", "update", str(file)).err
    assert "Can't read" in run("catalog", "update", str(tmp_path / "none")).err
    assert "can't be fetched" in run("catalog", "update", "http://127.0.0.1:9/x", "--sha256", "0" * 64).err
    assert "invalid URL" in run("catalog", "update", "file:///etc/passwd", "--sha256", "0" * 64).err
    assert catalog_path(home).read_bytes() == DATA


def test_what_changes_is_shown_by_model() -> None:
    old = read_catalog(catalog_bytes(model("a1"), model("b1"), model("c1"), model("d1")))
    new = read_catalog(
        catalog_bytes(model("a1"), model("b1", sha256="0" * 64), model("c1", context=1), model("e1"))
    )
    assert [str(line) for line in changes(old, new)] == [
        "another file: b1",
        "changed: c1",
        "removed: d1",
        "new: e1",
    ]
