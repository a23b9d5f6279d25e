"""Downloads that administrators start in a running server: one after another, with progress, cancellable."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from myna.catalog.advice import Machine, ModelAdvice, model_advice
from myna.catalog.discovery import find_models
from myna.catalog.entries import CatalogEntry
from myna.catalog.lookup import wanted_model
from myna.catalog.names import HubName
from myna.catalog.pull import pull_model
from myna.catalog.store import ModelStore
from myna.core.backend import LocalModel
from myna.core.errors import ModelInUse, MynaError, NotFound, Overloaded
from myna.core.translatable import N_, Translatable

DownloadStatus = Literal["queued", "downloading", "completed", "failed", "cancelled"]
# Downloads a model, reporting to the progress, in a thread.
PullModel = Callable[[CatalogEntry | HubName, ModelStore, "Download", Path | None], LocalModel]
_MAX_QUEUED: Final = 20
_MAX_KEPT: Final = 100
_CLOSE_S: Final = 1.0
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Download:
    """A download and its state. It is the `Progress` of its thread, in which it ends when it is cancelled."""

    wanted: CatalogEntry | HubName
    status: DownloadStatus = "queued"
    downloaded_bytes: int = 0
    total_bytes: int = 0
    text: str = ""
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        """The id that the model will have."""
        return self.wanted.id

    @property
    def is_active(self) -> bool:
        return self.status in ("queued", "downloading")

    def message(self, line: str | Translatable) -> None:
        self._check()
        self.text = str(line)

    def update(self, num_bytes: int, total_bytes: int) -> None:
        self._check()
        self.downloaded_bytes, self.total_bytes = num_bytes, total_bytes

    def _check(self) -> None:
        if self.is_cancelled.is_set():
            raise CancelledError


class Downloads:
    """All methods are for one event loop. `open_store` and `measure` read the disk and the machine; they are
    called in threads. `measure` is called once."""

    def __init__(
        self,
        open_store: Callable[[], ModelStore],
        measure: Callable[[], Machine],
        mirror: Path | None = None,
        pull: PullModel | None = None,
    ) -> None:
        self._open_store = open_store
        self._measure = measure
        self._mirror = mirror
        self._pull = pull or pull_or_link
        self._downloads: dict[str, Download] = {}
        self._turn = asyncio.Lock()
        self._measuring = asyncio.Lock()
        self._machine: Machine | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def model_advice(self) -> tuple[list[ModelAdvice], set[str]]:
        """The catalog for this machine, and the ids of the models that are here."""
        async with self._measuring:
            if self._machine is None:
                self._machine = await asyncio.to_thread(self._measure)
        return await asyncio.to_thread(self._model_advice, self._machine)

    def listed(self) -> list[Download]:
        """The newest first."""
        return list(reversed(self._downloads.values()))

    def find(self, id: str) -> Download | None:
        return self._downloads.get(id)

    async def start(self, name: str) -> Download:
        """Queue the download of a model; one that is queued or runs already is returned. Raises
        `ModelNotFound` for an unknown name, and `Overloaded` if too many wait."""
        store = await asyncio.to_thread(self._open_store)
        wanted = wanted_model(name, store)
        known = self._downloads.get(wanted.id)
        if known is not None and known.is_active:
            return known
        if sum(download.is_active for download in self._downloads.values()) >= _MAX_QUEUED:
            raise Overloaded(
                N_("{num} downloads are waiting; try again later.", num=_MAX_QUEUED), retry_after_s=60
            )
        download = Download(wanted, total_bytes=wanted.num_bytes if isinstance(wanted, CatalogEntry) else 0)
        self._downloads.pop(wanted.id, None)
        self._downloads[wanted.id] = download
        self._drop_old()
        task = asyncio.create_task(self._run(download, store))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return download

    def cancel(self, id: str) -> Download:
        """Cancel a download; what was downloaded is kept. Raises `NotFound`, and `ModelInUse` for one that
        has ended."""
        download = self._downloads.get(id)
        if download is None:
            raise NotFound(N_("There is no download of {model!r}.", model=id), code="not_found")
        if not download.is_active:
            raise ModelInUse(N_("The download of {model!r} has ended.", model=id))
        download.is_cancelled.set()
        if download.status == "queued":
            download.status = "cancelled"
        return download

    async def aclose(self) -> None:
        """Cancel all downloads, without waiting long for a source that doesn't answer. Idempotent."""
        for download in self._downloads.values():
            download.is_cancelled.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)  # time to stop programs that download
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _model_advice(self, machine: Machine) -> tuple[list[ModelAdvice], set[str]]:
        store = self._open_store()
        return model_advice(store.catalog, machine), {model.id for model in store.models()}

    def _drop_old(self) -> None:
        ended = [id for id, download in self._downloads.items() if not download.is_active]
        for id in ended[: max(0, len(self._downloads) - _MAX_KEPT)]:
            del self._downloads[id]

    async def _run(self, download: Download, store: ModelStore) -> None:
        try:
            async with self._turn:
                if not download.is_cancelled.is_set():
                    download.status = "downloading"
                    _log.info("downloading %s", download.id)
                    await _in_thread(lambda: self._pull(download.wanted, store, download, self._mirror))
                    download.status, download.text = "completed", ""
                    _log.info("downloaded %s", download.id)
        except CancelledError:
            download.status = "cancelled"
        except MynaError as error:
            download.status, download.text = "failed", error.message
            _log.warning("downloading %s failed: %s", download.id, error.message)
        except Exception as error:
            download.status, download.text = "failed", f"{type(error).__name__}: {error}"
            _log.exception("downloading %s failed", download.id)
        finally:
            download.ended.set()


def pull_or_link(
    wanted: CatalogEntry | HubName, store: ModelStore, progress: Download, mirror: Path | None
) -> LocalModel:
    """A `PullModel`: downloads the model, unless another program has it. Then the store links to its file."""
    if isinstance(wanted, CatalogEntry) and not store.has(wanted):
        copy = next((model for model in find_models() if model.sha256 == wanted.sha256), None)
        if copy is not None and copy.num_bytes == wanted.num_bytes:
            store.link(wanted, copy.path)
    return pull_model(wanted, store, progress, mirror)


async def _in_thread(work: Callable[[], object]) -> None:
    """Run it in a thread of its own, which doesn't keep the process from ending."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as exc:
            error = exc
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name="download", daemon=True).start()
    await ended
