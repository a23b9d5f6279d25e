"""A pull as a whole: which source, what is kept, what is said when it fails."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from myna.catalog.catalog_file import bundled_catalog
from myna.catalog.entries import FolderFile
from myna.catalog.partial import SilentProgress
from myna.catalog.pull import WantedFile, pull_entry, pull_file, rank_sources
from myna.catalog.store import ModelStore
from myna.core.errors import DownloadFailed
from myna.core.file_hashes import FileHashes
from myna.core.translatable import Translatable

WHOLE = b"GGUF" + bytes(5000)


class Lines(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, line: str | Translatable) -> None:
        self.lines.append(str(line))


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "bird.gguf").write_bytes(WHOLE)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def wanted_from(*folders: Path) -> WantedFile:
    sources = tuple(FolderFile(folder, ("bird.gguf",)) for folder in folders)
    return WantedFile("bird.gguf", len(WHOLE), hashlib.sha256(WHOLE).hexdigest(), sources)


def leave_partial(store: ModelStore, data: bytes) -> Path:
    partial = store.partial_of("bird.gguf") / "file"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(data)
    return partial


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_a_whole_file_gets_its_name_and_leaves_nothing_else(mirror: Path, store: ModelStore) -> None:
    pull_file(wanted_from(mirror), store, SilentProgress())
    assert (store.folder / "bird.gguf").read_bytes() == WHOLE
    assert names_in(store.folder) == {"bird.gguf"}


def test_a_servers_first_load_needs_no_hash_of_a_pulled_file(
    mirror: Path, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_file(wanted_from(mirror), store, SilentProgress())
    digest = FileHashes(tmp_path / "none.json").digest([store.folder / "bird.gguf"])
    monkeypatch.setattr(hashlib, "file_digest", None)  # reading it would fail
    assert FileHashes(tmp_path / "hashes.json").digest([store.folder / "bird.gguf"]) == digest


def test_the_next_source_is_asked_when_one_has_nothing(
    mirror: Path, store: ModelStore, tmp_path: Path
) -> None:
    pull_file(wanted_from(tmp_path / "nowhere", mirror), store, SilentProgress())
    assert names_in(store.folder) == {"bird.gguf"}


def test_a_wrong_hash_is_said_and_nothing_is_kept(mirror: Path, store: ModelStore) -> None:
    (mirror / "bird.gguf").write_bytes(WHOLE[:-1] + b"!")
    with pytest.raises(DownloadFailed, match=r"sha256 .* discarded"):
        pull_file(wanted_from(mirror), store, SilentProgress())
    assert not (store.folder / "bird.gguf").exists()
    assert (store.partial_of("bird.gguf") / "file").stat().st_size == 0


def test_a_source_with_the_wrong_bytes_gives_way_to_the_next(
    mirror: Path, store: ModelStore, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "bird.gguf").write_bytes(bytes(len(WHOLE)))
    pull_file(wanted_from(wrong, mirror), store, SilentProgress())
    assert (store.folder / "bird.gguf").read_bytes() == WHOLE


def test_what_an_earlier_pull_left_is_used(mirror: Path, store: ModelStore) -> None:
    leave_partial(store, WHOLE[:3000])
    lines = Lines()
    pull_file(wanted_from(mirror), store, lines)
    assert (store.folder / "bird.gguf").read_bytes() == WHOLE
    assert any(line.startswith("Resuming at") for line in lines.lines)


def test_damage_left_by_a_crash_is_repaired(mirror: Path, store: ModelStore) -> None:
    leave_partial(store, bytes(3000))
    pull_file(wanted_from(mirror), store, SilentProgress())
    assert (store.folder / "bird.gguf").read_bytes() == WHOLE


def test_a_short_source_leaves_no_final_name(mirror: Path, store: ModelStore) -> None:
    (mirror / "bird.gguf").write_bytes(WHOLE[:100])
    with pytest.raises(DownloadFailed, match="has 100 bytes"):
        pull_file(wanted_from(mirror), store, SilentProgress())
    assert not (store.folder / "bird.gguf").exists()


def test_a_full_disk_is_reported_before_the_download(
    mirror: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(mirror)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DownloadFailed, match=r"free some space, or set MYNA_HOME"):
        pull_file(wanted_from(mirror), store, SilentProgress())


def test_a_small_file_needs_little_more_room_than_its_own(
    mirror: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(mirror)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3 * len(WHOLE)))
    pull_file(wanted_from(mirror), store, SilentProgress())
    assert names_in(store.folder) == {"bird.gguf"}


def test_a_folder_without_write_permission_is_reported(mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(DownloadFailed, match=r"Can't write to .*; set MYNA_HOME to a folder"):
        pull_file(wanted_from(mirror), ModelStore(tmp_path / "models"), SilentProgress())


def test_two_pulls_of_one_model_fetch_it_once(mirror: Path, store: ModelStore) -> None:
    script = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    lock = store.folder / ".partial" / "bird.gguf.lock"
    lock.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"held\n"

        class OtherFinishes(Lines):
            """While we wait, the other process brings the file and lets go."""

            def message(self, line: str | Translatable) -> None:
                super().message(line)
                (store.folder / "bird.gguf").write_bytes(WHOLE)
                assert other.stdin is not None
                other.stdin.close()

        progress = OtherFinishes()
        pull_file(wanted_from(mirror.parent / "nowhere"), store, progress)
    assert progress.lines == ["Another process is pulling this model; waiting for it."]


def test_sources_are_ranked_by_who_answers(mirror: Path, tmp_path: Path) -> None:
    reasons: list[str | Translatable] = []
    usable, none = FolderFile(mirror, ("bird.gguf",)), FolderFile(tmp_path, ("bird.gguf",))
    assert rank_sources([none, usable], reasons) == [usable]
    assert list(map(str, reasons)) == [f"file: {tmp_path} has no bird.gguf"]


def test_a_mirror_serves_catalog_entries(mirror: Path, store: ModelStore) -> None:
    entry = replace(
        bundled_catalog().entries[0],
        num_bytes=len(WHOLE),
        sha256=hashlib.sha256(WHOLE).hexdigest(),
        sources=(),
    )
    (mirror / "bird.gguf").rename(mirror / entry.file_name)
    assert pull_entry(entry, store, SilentProgress(), mirror).read_bytes() == WHOLE
    assert store.has(entry)
