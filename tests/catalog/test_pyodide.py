"""Pyodide's package: from a registry, by its hash, and of its files only those that are listed."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from myna.catalog.partial import SilentProgress
from myna.catalog.pyodide import PagePackage, pull_package
from myna.core.errors import DownloadFailed

MEMBERS = {
    "package/bird.mjs": b"sing()",
    "package/nest.wasm": b"\0asm",
    "package/run.js": b"evil()",
    "../out": b"x",
}


def tarball(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as packed:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return data.getvalue()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is a registry on loopback."""
    folder = tmp_path / "registry"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
        yield folder
        server.shutdown()


def publish(registry: Path, members: dict[str, bytes]) -> PagePackage:
    data = tarball(members)
    place = registry / "bird" / "-"
    place.mkdir(parents=True)
    (place / "bird-1.0.0.tgz").write_bytes(data)
    sizes = {"bird.mjs": 6, "nest.wasm": 4}
    return PagePackage("bird", "1.0.0", len(data), hashlib.sha256(data).hexdigest(), sizes)


def test_the_listed_files_are_kept_and_no_others(registry: Path, tmp_path: Path) -> None:
    package, home = publish(registry, MEMBERS), tmp_path / "home"
    folder = pull_package(package, home, SilentProgress())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "bird.mjs": b"sing()",
        "nest.wasm": b"\0asm",
    }
    assert package.paths(home)["bird.mjs"] == folder / "bird.mjs"
    assert [path.name for path in home.rglob("*") if path.name in ("out", "run.js", "bird-1.0.0.tgz")] == []
    (registry / "bird" / "-" / "bird-1.0.0.tgz").unlink()
    assert pull_package(package, home, SilentProgress()) == folder


def test_another_hash_keeps_nothing(registry: Path, tmp_path: Path) -> None:
    package = replace(publish(registry, MEMBERS), sha256="0" * 64)
    with pytest.raises(DownloadFailed, match="npm: the file has"):
        pull_package(package, tmp_path / "home", SilentProgress())
    assert not package.folder(tmp_path / "home").exists()


@pytest.mark.parametrize(
    "members", [{"package/bird.mjs": b"sing()"}, {**MEMBERS, "package/nest.wasm": b"too long"}]
)
def test_a_package_without_its_files_is_refused(
    registry: Path, tmp_path: Path, members: dict[str, bytes]
) -> None:
    package = publish(registry, members)
    with pytest.raises(DownloadFailed, match="pull it again"):
        pull_package(package, tmp_path / "home", SilentProgress())
    assert not package.folder(tmp_path / "home").exists()


def test_a_mirror_serves_without_a_network(registry: Path, tmp_path: Path) -> None:
    package = publish(registry, MEMBERS)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (registry / "bird" / "-" / "bird-1.0.0.tgz").rename(mirror / "bird-1.0.0.tgz")
    assert pull_package(package, tmp_path / "home", SilentProgress(), mirror).is_dir()


def test_a_registry_that_lacks_it_says_so(registry: Path, tmp_path: Path) -> None:
    package = PagePackage("bird", "1.0.0", 10, "0" * 64, {})
    with pytest.raises(DownloadFailed, match="npm: it returned 404"):
        pull_package(package, tmp_path / "home", SilentProgress())
