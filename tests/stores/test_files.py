"""Rows of files in every store, and the folder of their contents: what a kill leaves behind, a full disk."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from myna.core.batches import Batch
from myna.core.errors import FileNotFound, FileTooLarge, InvalidFile, StorageFailed
from myna.core.files import FileStore, StoredFile, exceeds_quota
from myna.stores.database_threads import DatabaseThreads
from myna.stores.file_folder import FileFolder
from myna.stores.files import FileLimits, Files
from myna.stores.files_memory import MemoryFiles
from myna.stores.registry import Stores, open_stores


@pytest.fixture
def stores(url: str) -> Iterator[Stores]:
    opened = open_stores(url)
    yield opened
    opened.files().close()


@pytest.fixture
def store(stores: Stores) -> FileStore:
    return stores.files()


def _file(number: int, project: str = "ours", expires_at: int | None = None) -> StoredFile:
    return StoredFile(f"file-{number}", project, "batch", "喂.jsonl", 10, 1_700_000_000, expires_at)


def test_what_goes_in_comes_out_to_its_project_alone(store: FileStore) -> None:
    file = _file(1, expires_at=5)
    assert store.add(file)
    assert store.get("ours", "file-1") == file
    assert store.get("theirs", "file-1") is None
    assert not store.delete("theirs", "file-1")
    assert store.page("theirs", after="file-1") is None
    assert store.delete("ours", "file-1") and not store.delete("ours", "file-1")
    assert store.get("ours", "file-1") is None


def test_pages_follow_each_other_in_both_orders(store: FileStore) -> None:
    for number in range(5):
        store.add(msgspec.structs.replace(_file(number), purpose="batch_output" if number == 2 else "batch"))
    for order, expected in (("desc", "43210"), ("asc", "01234")):
        seen, after, has_more = "", None, True
        while has_more:
            page = store.page("ours", after=after, limit=2, order=order)  # type: ignore[arg-type]
            assert page is not None
            seen += "".join(row.id[-1] for row in page.rows)
            after, has_more = page.rows[-1].id, page.has_more
        assert seen == expected
    page = store.page("ours", purpose="batch_output")
    assert page is not None and [row.id for row in page.rows] == ["file-2"] and not page.has_more


def test_a_projects_files_have_a_size_that_is_kept(store: FileStore) -> None:
    assert store.add(_file(1), 20) and store.add(_file(2), 20) and not store.add(_file(3), 20)
    assert store.add(_file(4, "theirs"), 20)
    assert (store.num_bytes("ours"), store.num_bytes("theirs"), store.num_bytes("nobody")) == (20, 10, 0)
    assert store.get("ours", "file-3") is None


def test_a_quota_of_bytes_allows_only_so_many_tiny_files() -> None:
    assert not exceeds_quota(1001, 1001, 8000)
    assert exceeds_quota(1002, 1002, 8000)
    assert exceeds_quota(1, 8001, 8000)
    assert not exceeds_quota(1_000_000, 1 << 50, 0)


def test_a_project_has_only_so_many_tiny_files(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myna.core.files._SMALL_FILES", 2)
    assert store.add(_file(1), 100) and store.add(_file(2), 100)
    assert not store.add(_file(3), 100)
    assert store.get("ours", "file-3") is None
    assert store.add(_file(3), 0)


def test_expired_files_are_found(store: FileStore) -> None:
    for number, expires_at in enumerate((None, 100, 101)):
        store.add(_file(number, expires_at=expires_at))
    assert [file.id for file in store.expired(100)] == ["file-1"]


def test_what_unfinished_batches_write_is_in_use(stores: Stores) -> None:
    files, batches = stores.files(), stores.batches()
    files.add(_file(1))
    for number, status in enumerate(("in_progress", "completed")):
        batch = Batch(
            f"batch_{number}", "ours", "key_1", "/v1/completions", "file-1", 1, 2,
            status=status, output_work=f"file-out{number}",  # type: ignore[arg-type]
        )  # fmt: skip
        batches.add(batch)
    names = ["file-1", "file-2", "file-out0", "file-out1", "batch_0", "batch_1"]
    assert files.in_use(names) == {"file-1", "file-out0", "batch_0"}


def test_the_inputs_of_unfinished_batches_are_known_once_they_are_deleted(stores: Stores) -> None:
    files, batches = stores.files(), stores.batches()
    for number, project in enumerate(("ours", "ours", "theirs")):
        files.add(_file(number, project))
        input_id = f"file-{number}"
        batches.add(Batch(f"batch_{number}", project, "key_1", "/v1/completions", input_id, 1, 100))
    assert files.deleted_inputs("ours") == []
    files.delete("ours", "file-0")
    files.delete("theirs", "file-2")
    assert files.deleted_inputs("ours") == ["batch_0"]
    claimed = batches.claim(10.0, 20.0)
    assert claimed is not None and claimed.id == "batch_0"
    batches.finish(claimed, [], {"status": "completed"})
    assert files.deleted_inputs("ours") == []


def test_each_database_has_a_folder_of_its_own(tmp_path: Path) -> None:
    names = {open_stores(f"sqlite:///{tmp_path}/{name}.db").files().folder_name() for name in ("a", "b")}
    assert len(names) == 2
    assert open_stores(f"sqlite:///{tmp_path}/a.db").files().folder_name() in names


# --- the folder ---


def test_a_content_is_private_and_orphans_are_deleted(tmp_path: Path) -> None:
    folder = FileFolder(tmp_path / "files")
    assert folder.delete_orphans(lambda names: set()) == 0
    for name in ("file-kept", "file-dead"):
        content = folder.create(name)
        content.append(b"x")
        content.close()
    running = folder.create("file-running")
    assert folder.path_of("file-kept").stat().st_mode & 0o777 == 0o600
    assert folder.path_of("file-kept").parent.stat().st_mode & 0o777 == 0o700
    assert folder.delete_orphans(lambda names: {"file-kept"} & set(names)) == 1
    assert sorted(path.name for path in tmp_path.glob("files/*")) == ["file-kept", "file-running"]
    running.discard()


def test_the_upload_of_a_killed_process_is_deleted_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from myna.stores.file_folder import FileFolder\n"
        "content = FileFolder(pathlib.Path(sys.argv[1])).create('file-a')\n"
        "content.append(b'half a li')\nprint('written', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    folder = FileFolder(tmp_path)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"written\n"
        assert folder.delete_orphans(lambda names: set()) == 0
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert folder.delete_orphans(lambda names: set()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_appears_while_the_folder_is_searched_saves_its_content(tmp_path: Path) -> None:
    folder, answers = FileFolder(tmp_path), iter([set[str](), {"file-a"}])
    folder.create("file-a").close()
    assert folder.delete_orphans(lambda names: next(answers)) == 0


def test_an_append_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = FileFolder(tmp_path).create("file-a")
    content.append(b"whole\n")
    write = os.write

    def full(fd: int, data: memoryview) -> int:
        if len(data) < 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:3])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError):
        content.append(b"a half\n")
    monkeypatch.undo()
    content.append(b"whole\n")
    content.close()
    assert (tmp_path / "file-a").read_bytes() == b"whole\nwhole\n"


# --- the service ---


def _files(path: Path, limits: FileLimits | None = None, now: float = 1000.0) -> Files:
    return Files(MemoryFiles(), path, DatabaseThreads(1), limits, clock=lambda: now)


async def _upload(files: Files, number: int, *pieces: bytes) -> StoredFile:
    file = msgspec.structs.replace(_file(number), num_bytes=sum(map(len, pieces)))
    upload = await files.upload("ours", file.id)
    try:
        for piece in pieces:
            await upload.write(piece)
        await upload.finish(file)
    finally:
        await upload.aclose()
    return file


def _contents(path: Path) -> dict[str, int]:
    return {found.name: found.stat().st_size for found in path.rglob("file-*")}


async def test_an_upload_is_kept_or_leaves_nothing(tmp_path: Path) -> None:
    files = _files(tmp_path, FileLimits(max_file_bytes=3 << 20, max_project_bytes=6 << 20))
    piece = bytes(1 << 20)
    await _upload(files, 1, piece, piece, b"end")
    with pytest.raises(FileTooLarge):
        await _upload(files, 2, piece, piece, piece, b"end")
    await _upload(files, 6, piece, piece)
    with pytest.raises(InvalidFile, match="6,291,456 bytes"):
        await _upload(files, 3, piece, piece)
    await files.delete("ours", "file-6")
    unfinished = await files.upload("ours", "file-4")
    await unfinished.write(piece)
    await unfinished.aclose()
    assert _contents(tmp_path) == {"file-1": 2 * len(piece) + 3}
    await _upload(files, 5, piece)
    await files.delete("ours", "file-1")
    with pytest.raises(FileNotFound):
        await files.get("ours", "file-1")
    assert _contents(tmp_path) == {"file-5": len(piece)}
    await files.aclose()


async def test_uploads_at_the_same_time_share_the_quota(tmp_path: Path) -> None:
    files = _files(tmp_path, FileLimits(max_project_bytes=10))
    first, second = await files.upload("ours", "file-1"), await files.upload("ours", "file-2")
    await first.write(b"123456")
    await second.write(b"123456")
    with pytest.raises(InvalidFile):
        await second.finish(_file(2))
    await second.aclose()
    await first.finish(_file(1))
    await first.aclose()
    assert _contents(tmp_path) == {"file-1": 6}
    await files.aclose()


async def test_deleted_files_that_batches_still_read_are_in_the_quota(tmp_path: Path) -> None:
    files = _files(tmp_path, FileLimits(max_project_bytes=10))
    assert isinstance(files.store, MemoryFiles)
    await _upload(files, 1, b"123456")
    for number in (1, 2):
        batch = Batch(f"batch_{number}", "ours", "key_1", "/v1/completions", "file-1", 1, 100)
        await files.link("file-1", batch.id)
        files.store.batches[batch.id] = batch
    uploading = await files.upload("ours", "file-2")
    await files.delete("ours", "file-1")
    await uploading.write(b"1234")
    await uploading.finish(
        msgspec.structs.replace(_file(2), num_bytes=4)
    )  # the content of both batches counts once
    await uploading.aclose()
    with pytest.raises(InvalidFile):
        await _upload(files, 3, b"1")
    for id, batch in files.store.batches.items():
        files.store.batches[id] = msgspec.structs.replace(batch, status="completed")
    await _upload(files, 4, b"1234")
    await files.aclose()


async def test_a_full_disk_is_an_error_that_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    files = _files(tmp_path)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFailed, match="disk of this server is full"):
        await _upload(files, 1, b"x")
    assert _contents(tmp_path) == {}
    await files.aclose()


async def test_what_has_expired_is_gone_and_is_deleted(tmp_path: Path) -> None:
    files = _files(tmp_path, now=1000)
    for number, expires_at in ((1, 999), (2, 1001)):
        files.store.add(_file(number, expires_at=expires_at))
        files.folder.create(f"file-{number}").close()
    with pytest.raises(FileNotFound):
        await files.get("ours", "file-1")
    await files.delete_expired()
    assert _contents(tmp_path) == {"file-2": 0}
    await files.aclose()


async def test_what_is_opened_for_a_caller_that_has_left_is_closed(tmp_path: Path) -> None:
    files = _files(tmp_path)
    is_opening, may_open, is_closed = threading.Event(), threading.Event(), threading.Event()

    class Opened:
        def __init__(self) -> None:
            is_opening.set()
            may_open.wait()

        def close(self) -> None:
            is_closed.set()

    opening = asyncio.create_task(files.disk.open(Opened))
    await asyncio.to_thread(is_opening.wait)
    opening.cancel()
    await asyncio.wait([opening])
    may_open.set()
    assert await asyncio.to_thread(is_closed.wait, 10)
    await files.aclose()
