"""Downloads in a running server: one at a time, cancelled, failed, and closed."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.catalog.catalogs import catalog_bytes, model

from myna.catalog.advice import Machine
from myna.catalog.catalog_file import read_catalog
from myna.catalog.downloads import Download, Downloads, pull_or_link
from myna.catalog.entries import CatalogEntry
from myna.catalog.names import HubName
from myna.catalog.store import ModelStore, local_file
from myna.core.backend import LocalModel
from myna.core.errors import DownloadFailed, ModelInUse, ModelNotFound, NotFound, Overloaded


@dataclass
class Source:
    """A `PullModel` that sends a byte whenever `gate` is open, until it has sent 100."""

    gate: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None
    started: list[str] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)

    def __call__(
        self, wanted: CatalogEntry | HubName, store: ModelStore, progress: Download, mirror: Path | None
    ) -> LocalModel:
        self.started.append(wanted.id)
        progress.message("Fetching")
        self.begun.set()
        for num_bytes in range(101):
            while not self.gate.wait(0.002):
                progress.update(num_bytes, 100)
            progress.update(num_bytes, 100)
        if self.failure is not None:
            raise self.failure
        return LocalModel(wanted.id, Path(), "me", 0, 100, "catalog")


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def downloads(tmp_path: Path, source: Source) -> AsyncIterator[Downloads]:
    machine = Machine(8_000_000_000, 1e10, lambda entry: True)
    made = Downloads(lambda: ModelStore(tmp_path / "models"), lambda: machine, pull=source)
    yield made
    source.gate.set()
    await made.aclose()


async def ended(download: Download) -> str:
    await download.ended.wait()
    return download.status


async def test_downloads_run_one_after_another_and_show_their_progress(
    downloads: Downloads, source: Source
) -> None:
    first = await downloads.start("qwen3:4b")
    second = await downloads.start("hf:org/Bird-GGUF:Q4_K_M")
    assert await downloads.start("qwen3-4b") is first
    await asyncio.to_thread(source.begun.wait)
    assert first.text == "Fetching"
    assert (first.status, second.status, source.started) == ("downloading", "queued", ["qwen3-4b"])
    assert (first.total_bytes, second.total_bytes) == (2_497_281_312, 0) or first.total_bytes == 100
    source.gate.set()
    assert [await ended(download) for download in (first, second)] == ["completed", "completed"]
    assert (first.downloaded_bytes, first.text) == (100, "")
    assert [download.id for download in downloads.listed()] == ["org/Bird-GGUF:Q4_K_M", "qwen3-4b"]
    assert await downloads.start("qwen3-4b") is not first


async def test_a_download_is_cancelled_while_it_runs_and_while_it_waits(
    downloads: Downloads, source: Source
) -> None:
    first, second = await downloads.start("qwen3-4b"), await downloads.start("qwen3-8b")
    await asyncio.to_thread(source.begun.wait)
    assert downloads.cancel("qwen3-8b").status == "cancelled"
    downloads.cancel("qwen3-4b")
    assert (await ended(first), await ended(second)) == ("cancelled", "cancelled")
    assert source.started == ["qwen3-4b"]
    with pytest.raises(ModelInUse, match="has ended"):
        downloads.cancel("qwen3-4b")
    with pytest.raises(NotFound):
        downloads.cancel("qwen3-14b")


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (DownloadFailed("The hub is away."), "The hub is away."),
        (OSError(28, "full"), "OSError: [Errno 28] full"),
    ],
)
async def test_a_failure_is_kept_and_the_next_runs(
    downloads: Downloads, source: Source, failure: Exception, text: str
) -> None:
    source.gate.set()
    source.failure = failure
    download = await downloads.start("qwen3-4b")
    assert (await ended(download), download.text) == ("failed", text)
    source.failure = None
    assert await ended(await downloads.start("qwen3-8b")) == "completed"


async def test_a_name_that_nothing_has_is_refused(downloads: Downloads) -> None:
    with pytest.raises(ModelNotFound):
        await downloads.start("nothing-like-it-%%%")
    assert downloads.listed() == []


async def test_only_so_many_wait(downloads: Downloads) -> None:
    for number in range(20):
        await downloads.start(f"org/bird-{number}")
    with pytest.raises(Overloaded, match="20 downloads are waiting"):
        await downloads.start("org/bird-20")


async def test_closing_doesn_t_wait_for_a_source(downloads: Downloads, source: Source) -> None:
    download = await downloads.start("qwen3-4b")
    await asyncio.to_thread(source.begun.wait)
    await downloads.aclose()
    await downloads.aclose()
    assert download.is_cancelled.is_set()


async def test_the_machine_is_measured_once(tmp_path: Path) -> None:
    measured: list[int] = []

    def measure() -> Machine:
        measured.append(1)
        return Machine(8_000_000_000, 1e10, lambda entry: True)

    downloads = Downloads(lambda: ModelStore(tmp_path / "models"), measure)
    (first, here), (second, _) = await asyncio.gather(downloads.model_advice(), downloads.model_advice())
    assert first == second
    assert (here, len(measured)) == (set(), 1)


def test_what_another_program_has_is_linked_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path / "home" / "models", read_catalog(catalog_bytes(model("bird-1b"))))
    (entry,) = store.catalog.entries
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    blob = tmp_path / "ollama/blobs" / f"sha256-{entry.sha256}"
    manifest = tmp_path / "ollama/manifests/registry.example/library/bird/1b"
    for path in (blob, manifest):
        path.parent.mkdir(parents=True)
    blob.write_bytes(b"GGUF" + bytes(96))
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{entry.sha256}"}
    manifest.write_text(json.dumps({"layers": [layer]}), encoding="utf-8")
    local = pull_or_link(entry, store, Download(entry), None)
    assert (local.path.is_symlink(), local.path.resolve()) == (True, blob)
    store.remove(local)
    assert blob.exists()
    assert list(store.models()) == []


def test_the_size_of_a_split_model_is_that_of_all_parts(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"bird-{number:05d}-of-00002.gguf").write_bytes(b"GGUF" + bytes(96))
    assert local_file(tmp_path / "bird-00001-of-00002.gguf").num_bytes == 200
