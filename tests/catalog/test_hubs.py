"""Hubs over HTTP: resumed downloads, servers that break off, tokens that stay at home, repositories."""

import http.server
import threading
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from myna.catalog.entries import HubFile
from myna.catalog.partial import PartialFile, SilentProgress
from myna.catalog.repository import RepositoryFile
from myna.catalog.sources import http as web
from myna.catalog.sources.modelscope import ModelScope, list_gguf_files
from myna.core.errors import DownloadFailed

WHOLE = bytes(range(256)) * 400


class Hub(http.server.ThreadingHTTPServer):
    """Serves WHOLE under /file; `breaks_after` bytes it hangs up, as often as `num_breaks` says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.seen: list[tuple[str, str, str]] = []
        self.breaks_after = 1000
        self.num_breaks = 0
        self.knows_ranges = True
        self.redirect = ""
        self.document = b""  # under /api


class HubHandler(http.server.BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, has_body: bool) -> None:
        wanted = self.headers.get("Range", "")
        self.server.seen.append((self.path, wanted, self.headers.get("Authorization", "")))
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", self.server.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path.startswith("/api") and self.server.document:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.document)))
            self.end_headers()
            self.wfile.write(self.server.document)
            return
        if not self.path.endswith("file"):
            self.send_error(404)
            return
        start = int(wanted[len("bytes=") : -1]) if wanted and self.server.knows_ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(WHOLE) - start))
        self.end_headers()
        if has_body:
            self._send(WHOLE[start:])

    def _send(self, data: bytes) -> None:
        if self.server.num_breaks:
            self.server.num_breaks -= 1
            self.wfile.write(data[: self.server.breaks_after])
            self.close_connection = True
            return
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def partial(tmp_path: Path) -> Iterator[PartialFile]:
    made = PartialFile(tmp_path / "file", len(WHOLE), SilentProgress())
    yield made
    made.close()


def contents(partial: PartialFile) -> bytes:
    partial.sync()
    return partial.path.read_bytes()


def test_a_download_goes_on_where_the_server_broke_off(hub: Hub, partial: PartialFile) -> None:
    hub.num_breaks = 5
    web.fetch(f"{hub.url}/file", {}, partial)
    assert contents(partial) == WHOLE
    assert [wanted for _, wanted, _ in hub.seen[1:3]] == ["bytes=1000-", "bytes=2000-"]


def test_a_server_without_ranges_starts_again(hub: Hub, partial: PartialFile) -> None:
    partial.append(WHOLE[:100])
    hub.knows_ranges = False
    web.fetch(f"{hub.url}/file", {}, partial)
    assert contents(partial) == WHOLE


def test_a_server_that_only_breaks_off_is_given_up(hub: Hub, partial: PartialFile) -> None:
    hub.num_breaks, hub.breaks_after = 100, 0
    with pytest.raises(DownloadFailed, match="was interrupted at 0 bytes"):
        web.fetch(f"{hub.url}/file", {}, partial)


def test_a_missing_file_and_a_silent_host_are_distinguished(hub: Hub) -> None:
    for refused in (
        lambda: web.ask(f"{hub.url}/nothing", {}, 5),
        lambda: web.get(f"{hub.url}/nothing", 5, 100),
    ):
        with pytest.raises(DownloadFailed, match="returned 404") as failure:
            refused()
        response = failure.value.__cause__
        assert isinstance(response, urllib.error.HTTPError)
        assert response.closed  # its connection, too, and not when the exception is collected
    hub.server_close()
    with pytest.raises(DownloadFailed, match="refused"):
        web.ask("http://127.0.0.1:9/file", {}, 5)


def test_a_token_does_not_follow_to_another_host(hub: Hub, partial: PartialFile) -> None:
    hub.redirect = f"http://localhost:{hub.server_address[1]}/file"
    web.fetch(f"{hub.url}/away", {"Authorization": "Bearer secret"}, partial)
    assert [(path, token) for path, _, token in hub.seen] == [("/away", "Bearer secret"), ("/file", "")]


def test_other_schemes_are_refused(partial: PartialFile, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="invalid URL: file:"):
        web.fetch(f"file://{tmp_path}", {}, partial)


def test_modelscope_is_asked_under_its_own_path(hub: Hub, partial: PartialFile, tmp_path: Path) -> None:
    ModelScope(HubFile("modelscope", "Org/Bird", "a file", "master"), hub.url).fetch(partial, tmp_path)
    assert contents(partial) == WHOLE
    assert hub.seen[0][0] == "/models/Org/Bird/resolve/master/a%20file"


def test_a_listing_of_modelscope_s_has_the_models_with_their_hashes(hub: Hub) -> None:
    hub.document = (
        b'{"Code": 200, "Data": {"Files": [{"Path": "q/bird.gguf", "Size": 7, "Sha256": "%s"},'
        b' {"Path": "README.md", "Size": 1, "Sha256": "x"}, {"Path": "q", "Size": 0}]}}' % (b"a" * 64)
    )
    assert list_gguf_files("org/bird", "", 5, hub.url) == [RepositoryFile("q/bird.gguf", 7, "a" * 64)]
    assert hub.seen[0][0] == "/api/v1/models/org/bird/repo/files?Revision=master&Recursive=true"


@pytest.mark.parametrize("document", [b"<html>", b'{"Data": null}', b""])
def test_a_listing_that_can_t_be_read_is_a_failure(hub: Hub, document: bytes) -> None:
    hub.document = document
    with pytest.raises(DownloadFailed, match="ModelScope does not"):
        list_gguf_files("org/bird", "", 5, hub.url)


def test_a_small_document_is_bounded(hub: Hub) -> None:
    assert web.get(f"{hub.url}/file", 5, len(WHOLE)) == WHOLE
    with pytest.raises(DownloadFailed, match="more than 100 bytes"):
        web.get(f"{hub.url}/file", 5, 100)
