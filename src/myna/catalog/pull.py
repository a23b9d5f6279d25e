"""Bringing a model's files here: which source first, one puller at a time, kept only if the hash agrees."""

import fcntl
import queue
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from myna.catalog.entries import Entry, FolderFile, HubFile, Source
from myna.catalog.partial import Partial, Progress
from myna.catalog.sources.base import open_source, source_name
from myna.catalog.store import ModelStore, PulledRecord, slug
from myna.core.backend import LocalModel
from myna.core.errors import DownloadFailed, MynaError
from myna.core.translatable import N_, Translatable, joined

ANSWER_S: Final = 5.0
# A source that is sure to be there need not wait long for those before it in the order.
GRACE_S: Final = 1.5
_SPARE_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One file to bring: its final name in the models' folder, its content, where it may be."""

    name: str
    num_bytes: int
    sha256: str
    sources: tuple[Source, ...]


def pull_entry(entry: Entry, store: ModelStore, progress: Progress, mirror: Path | None = None) -> Path:
    """Bring a catalog model. Returns its path, at once if it is here already."""
    here = (FolderFile(mirror, (entry.file_name, f"{entry.id}.gguf")),) if mirror else ()
    target = store.path_of(entry)
    pull_file(WantedFile(target.name, entry.num_bytes, entry.sha256, here + entry.sources), store, progress)
    return target


def pull_hub(spec: str, store: ModelStore, progress: Progress) -> LocalModel:
    """Bring `org/repo`, `org/repo:Q4_K_M` or `org/repo:file.gguf` from Hugging Face, shards included."""
    from myna.catalog.sources.huggingface import choose_files, list_gguf_files

    repository, _, wanted = spec.partition(":")
    files = choose_files(list_gguf_files(repository, ANSWER_S), wanted)
    names = [f"{slug(repository)}--{slug(Path(file.name).name)}" for file in files]
    for file, name in zip(files, names, strict=True):
        source = HubFile("huggingface", repository, file.name)
        pull_file(WantedFile(name, file.num_bytes, file.sha256, (source,)), store, progress)
    record = PulledRecord(spec, tuple(names), repository.split("/")[0], int(time.time()), f"hf:{spec}")
    store.write(record)
    found = store.find(spec)
    assert found is not None
    return found


def pull_file(wanted: WantedFile, store: ModelStore, progress: Progress) -> None:
    """Bring one file, or say which source failed why. Raises `DownloadFailed`."""
    target = store.folder / wanted.name
    if _is_here(target, wanted):
        return
    workplace = store.partial_of(wanted.name)
    try:
        workplace.mkdir(parents=True, exist_ok=True)
        with _only_one(workplace.parent / f"{workplace.name}.lock", progress):
            if _is_here(target, wanted):  # another process pulled it while this one waited
                return
            _pull_locked(wanted, target, workplace, progress)
            shutil.rmtree(workplace, ignore_errors=True)
    except OSError as exc:
        raise DownloadFailed(
            N_(
                "Can't write {target}: {reason}. What has arrived is kept; pull again to go on.",
                target=target,
                reason=exc.strerror or exc,
            )
        ) from exc


def _is_here(target: Path, wanted: WantedFile) -> bool:
    return target.is_file() and target.stat().st_size == wanted.num_bytes


def _pull_locked(wanted: WantedFile, target: Path, workplace: Path, progress: Progress) -> None:
    scratch = workplace / "scratch"
    partial = Partial(workplace / "file", wanted.num_bytes, progress)
    reasons: list[str | Translatable] = []
    try:
        _check_room(wanted, partial, workplace)
        if partial.size:
            progress.says(
                N_(
                    "Going on at {done:,.0f} of {total:,.0f} MB.",
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
            "{name} could not be downloaded. {tried}. What has arrived is kept: fix the cause and "
            "pull again, or put the file there yourself and set MYNA_MIRROR to its folder.",
            name=wanted.name,
            tried=tried,
        )
    )


def _try_source(
    source: Source,
    wanted: WantedFile,
    partial: Partial,
    scratch: Path,
    reasons: list[str | Translatable],
    progress: Progress,
) -> bool:
    """Whether the file is whole and right now. Bytes that an earlier pull left get one more chance
    when the hash is wrong: they may be what a crash damaged."""
    name = source_name(source)
    for resumed in (partial.size > 0, False):
        progress.says(
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
            "so it was thrown away",
            size=partial.size,
            sha256=partial.sha256[:12],
            expected=wanted.num_bytes,
            expected_sha256=wanted.sha256[:12],
        )
        reasons.append(joined(": ", (name, wrong)))
        partial.keep(0)
        if not resumed:
            break
    return False


def _check_room(wanted: WantedFile, partial: Partial, workplace: Path) -> None:
    needed = wanted.num_bytes - partial.size + _SPARE_BYTES
    free = shutil.disk_usage(workplace).free
    if free < needed:
        raise DownloadFailed(
            N_(
                "The disk of {folder} has {free:,.0f} MB free and {needed:,.0f} MB are needed for "
                "{name}; make room, or set MYNA_HOME to a folder on another disk.",
                folder=workplace,
                free=free / 1e6,
                needed=needed / 1e6,
                name=wanted.name,
            )
        )


@contextmanager
def _only_one(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file; the system lets go of it when a process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.says(N_("Another process is pulling this model; waiting for it."))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def rank_sources(
    sources: Sequence[Source],
    reasons: list[str | Translatable],
    *,
    answer_s: float = ANSWER_S,
    grace_s: float = GRACE_S,
) -> list[Source]:
    """The sources to try, best first. All are asked at once, so that one that is silent costs a
    newcomer no wait: the first in order that answers wins, and when any has answered those before it
    get `grace_s` more. Silent ones come last; `reasons` gets why others were left out."""
    answers: queue.Queue[tuple[int, str | Translatable]] = queue.Queue()
    for index, source in enumerate(sources):
        threading.Thread(target=_ask, args=(index, source, answer_s, answers), daemon=True).start()
    verdicts: dict[int, str | Translatable] = {}
    deadline = time.monotonic() + answer_s
    while len(verdicts) < len(sources):
        good = [index for index, verdict in verdicts.items() if not verdict]
        if good and all(index in verdicts for index in range(min(good))):
            break
        try:
            index, verdict = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if not verdict:
            deadline = min(deadline, time.monotonic() + grace_s)
        verdicts[index] = verdict
    for index, verdict in sorted(verdicts.items()):
        if verdict:
            reasons.append(joined(": ", (source_name(sources[index]), verdict)))
    answered = [source for index, source in enumerate(sources) if verdicts.get(index) == ""]
    silent = [source for index, source in enumerate(sources) if index not in verdicts]
    return answered + silent


def _ask(
    index: int, source: Source, answer_s: float, answers: queue.Queue[tuple[int, str | Translatable]]
) -> None:
    try:
        open_source(source).ask(answer_s)
        answers.put((index, ""))
    except MynaError as exc:
        answers.put((index, exc.text))
    except Exception as exc:
        answers.put((index, f"{type(exc).__name__}: {exc}"))
