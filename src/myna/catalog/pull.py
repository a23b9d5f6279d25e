"""Downloads model files: ranks sources, allows one download of a file at a time, verifies hashes."""

import queue
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from myna.catalog.entries import CatalogEntry, FolderFile, HubFile, Source
from myna.catalog.names import PREFIXES, HubName
from myna.catalog.partial import PartialFile, Progress, locked
from myna.catalog.repository import choose_files
from myna.catalog.sources.base import MAIN_REVISIONS, list_gguf_files, open_source, source_name
from myna.catalog.store import ModelStore, PulledRecord, slug
from myna.core.backend import LocalModel
from myna.core.errors import DownloadFailed, MynaError
from myna.core.private_file import unwritable
from myna.core.translatable import N_, Translatable, joined

SOURCE_TIMEOUT_S: Final = 5.0
# How long a source that has answered waits for the sources before it in the order.
GRACE_S: Final = 1.5
# For temporary files: a source may hold two copies of what it has not appended yet.
_SPARE_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file to download: its final name in the models' folder, its size and hash, its sources."""

    name: str
    num_bytes: int
    sha256: str
    sources: tuple[Source, ...]


def pull_model(
    wanted: CatalogEntry | HubName, store: ModelStore, progress: Progress, mirror: Path | None = None
) -> LocalModel:
    """Download a model, unless it is here. Raises `DownloadFailed`."""
    if isinstance(wanted, HubName):
        return pull_hub(wanted, store, progress)
    if wanted.terms:
        progress.message(
            N_(
                "{model} is licensed under the {licence}: {terms}",
                model=wanted.id,
                licence=wanted.licence,
                terms=wanted.terms,
            )
        )
    pull_entry(wanted, store, progress, mirror)
    return _found(store, wanted.id)


def pull_entry(
    entry: CatalogEntry, store: ModelStore, progress: Progress, mirror: Path | None = None
) -> Path:
    """Download a catalog model. Returns its path, immediately if it exists already."""
    here = (FolderFile(mirror, (entry.file_name, f"{entry.id}.gguf")),) if mirror else ()
    target = store.path_of(entry)
    pull_file(WantedFile(target.name, entry.num_bytes, entry.sha256, here + entry.sources), store, progress)
    return target


def pull_hub(name: HubName, store: ModelStore, progress: Progress) -> LocalModel:
    """Download a model of a hub's repository, including all shards."""
    files = choose_files(
        list_gguf_files(name.hub, name.repository, name.revision, SOURCE_TIMEOUT_S), name.wanted
    )
    targets = [f"{slug(name.repository)}--{slug(Path(file.name).name)}" for file in files]
    revision = name.revision or MAIN_REVISIONS[name.hub]
    for file, target in zip(files, targets, strict=True):
        source = HubFile(name.hub, name.repository, file.name, revision)
        pull_file(WantedFile(target, file.num_bytes, file.sha256, (source,)), store, progress)
    owner = name.repository.split("/")[0]
    store.write(
        PulledRecord(name.id, tuple(targets), owner, int(time.time()), f"{PREFIXES[name.hub]}:{name.id}")
    )
    return _found(store, name.id)


def _found(store: ModelStore, model: str) -> LocalModel:
    found = store.find(model)
    if found is None:
        raise MynaError(
            N_(
                "{model} disappeared from {folder} after it was pulled; pull it again.",
                model=model,
                folder=store.folder,
            )
        )
    return found


def pull_file(wanted: WantedFile, store: ModelStore, progress: Progress) -> None:
    """Download one file. Raises `DownloadFailed`, with the reason for each source that failed."""
    target = store.folder / wanted.name
    if _is_complete(target, wanted):
        return
    work_folder = store.partial_of(wanted.name)
    try:
        work_folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise DownloadFailed(unwritable(store.folder, exc)) from exc
    try:
        with locked(work_folder.parent / f"{work_folder.name}.lock", progress):
            if _is_complete(target, wanted):  # another process pulled it while this one waited
                return
            _pull_locked(wanted, target, work_folder, progress)
            store.hashes.remember(target, wanted.sha256)  # else the first load would read the file for it
            shutil.rmtree(work_folder, ignore_errors=True)
    except OSError as exc:
        raise DownloadFailed(
            N_(
                "Can't write {target}: {reason}. The partial download was kept; pull again to resume.",
                target=target,
                reason=exc.strerror or exc,
            )
        ) from exc


def _is_complete(target: Path, wanted: WantedFile) -> bool:
    return target.is_file() and target.stat().st_size == wanted.num_bytes


def _pull_locked(wanted: WantedFile, target: Path, work_folder: Path, progress: Progress) -> None:
    scratch = work_folder / "scratch"
    partial = PartialFile(work_folder / "file", wanted.num_bytes, progress)
    reasons: list[str | Translatable] = []
    try:
        _check_disk_space(wanted, partial, work_folder)
        if partial.size:
            progress.message(
                N_(
                    "Resuming at {done:,.0f} of {total:,.0f} MB.",
                    done=partial.size / 1e6,
                    total=wanted.num_bytes / 1e6,
                )
            )
        for source in rank_sources(wanted.sources, reasons):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            if _try_source(source, wanted, partial, scratch, reasons, progress):
                partial.finish(target)
                return
    finally:
        partial.close()
    tried = joined("; ", reasons or [N_("it has no source")])
    raise DownloadFailed(
        N_(
            "{name} could not be downloaded. {tried}. The partial download was kept: fix the problem and "
            "pull again, or provide the file yourself and set MYNA_MIRROR to its folder.",
            name=wanted.name,
            tried=tried,
        )
    )


def _try_source(
    source: Source,
    wanted: WantedFile,
    partial: PartialFile,
    scratch: Path,
    reasons: list[str | Translatable],
    progress: Progress,
) -> bool:
    """Whether the file is now complete and correct. If the hash of a resumed file is wrong, the download is
    restarted once: a crash may have damaged the earlier bytes."""
    name = source_name(source)
    for resumed in (partial.size > 0, False):
        progress.message(
            N_(
                "Fetching {name} ({size:,.0f} MB) from {source}.",
                name=wanted.name,
                size=wanted.num_bytes / 1e6,
                source=name,
            )
        )
        try:
            open_source(source).fetch(partial, scratch)
        except DownloadFailed as exc:
            reasons.append(joined(": ", (name, exc.text)))
            return False
        if partial.size == wanted.num_bytes and partial.sha256 == wanted.sha256:
            return True
        wrong = N_(
            "the file has {size:,} bytes and sha256 {sha256}…, not {expected:,} and {expected_sha256}…, "
            "so it was discarded",
            size=partial.size,
            sha256=partial.sha256[:12],
            expected=wanted.num_bytes,
            expected_sha256=wanted.sha256[:12],
        )
        reasons.append(joined(": ", (name, wrong)))
        partial.truncate(0)
        if not resumed:
            break
    return False


def _check_disk_space(wanted: WantedFile, partial: PartialFile, work_folder: Path) -> None:
    missing = wanted.num_bytes - partial.size
    needed = missing + min(2 * missing, _SPARE_BYTES)
    free = shutil.disk_usage(work_folder).free
    if free < needed:
        raise DownloadFailed(
            N_(
                "The disk of {folder} has {free:,.0f} MB free, but {needed:,.0f} MB are needed for "
                "{name}; free some space, or set MYNA_HOME to a folder on another disk.",
                folder=work_folder,
                free=free / 1e6,
                needed=needed / 1e6,
                name=wanted.name,
            )
        )


def rank_sources(
    sources: Sequence[Source],
    reasons: list[str | Translatable],
    *,
    timeout_s: float = SOURCE_TIMEOUT_S,
    grace_s: float = GRACE_S,
) -> list[Source]:
    """The sources to try, best first. All are asked concurrently, so that an unresponsive one costs no time:
    the first in order that answers wins, and once one has answered, those before it get `grace_s` more.
    Unresponsive sources come last; `reasons` receives why others were excluded."""
    answers: queue.Queue[tuple[int, str | Translatable]] = queue.Queue()
    for index, source in enumerate(sources):
        threading.Thread(target=_ask, args=(index, source, timeout_s, answers), daemon=True).start()
    errors: dict[int, str | Translatable] = {}
    deadline = time.monotonic() + timeout_s
    while len(errors) < len(sources):
        usable = [index for index, error in errors.items() if not error]
        if usable and all(index in errors for index in range(min(usable))):
            break
        try:
            index, error = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if not error:
            deadline = min(deadline, time.monotonic() + grace_s)
        errors[index] = error
    for index, error in sorted(errors.items()):
        if error:
            reasons.append(joined(": ", (source_name(sources[index]), error)))
    answered = [source for index, source in enumerate(sources) if errors.get(index) == ""]
    silent = [source for index, source in enumerate(sources) if index not in errors]
    return answered + silent


def _ask(
    index: int, source: Source, timeout_s: float, answers: queue.Queue[tuple[int, str | Translatable]]
) -> None:
    try:
        open_source(source).ask(timeout_s)
        answers.put((index, ""))
    except MynaError as exc:
        answers.put((index, exc.text))
    except Exception as exc:
        answers.put((index, f"{type(exc).__name__}: {exc}"))
