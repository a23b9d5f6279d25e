"""The files in a hub's repository, and which of them are the model that was asked for. Knows no network."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from myna.core.errors import DownloadFailed
from myna.core.translatable import N_, Translatable

SPLIT: Final = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_PREFERRED: Final = ("Q4_K_M", "Q4_K_XL", "Q4_0", "MXFP4", "Q5_K_M", "Q8_0", "F16", "BF16")
# Files that accompany a model, by a word in their names, and what they are.
_COMPANIONS: Final = {
    "mmproj": N_("the image or audio part of a model"),
    "imatrix": N_("an importance matrix, for quantizing"),
    "mtp": N_("a draft head of a model"),
    "lora": N_("a LoRA adapter"),
}
_COMPANION: Final = re.compile(rf"(?:^|[-._])({'|'.join(_COMPANIONS)})(?=[-._])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """A file as listed by the hub, with the hash that it has of large files."""

    name: str
    num_bytes: int
    sha256: str


def companion(file_name: str) -> Translatable | None:
    """What a file is, if it is not a model but accompanies one."""
    found = _COMPANION.search(Path(file_name).name)
    return _COMPANIONS[found[1].lower()] if found else None


def choose_files(files: Sequence[RepositoryFile], wanted: str) -> list[RepositoryFile]:
    """The files of one quantization (`Q4_K_M`) or file name, all shards in order. "": the preferred one.

    Raises `DownloadFailed`, which lists the files in the repository.
    """
    groups: dict[str, list[RepositoryFile]] = {}
    for file in sorted(files, key=lambda file: file.name):
        if companion(file.name) is None:
            groups.setdefault(SPLIT.sub(".gguf", file.name), []).append(file)
    for choice in (wanted,) if wanted else _PREFERRED:
        if found := _named(groups, choice):
            return _whole(groups[found])
    if not wanted and len(groups) == 1:
        return _whole(next(iter(groups.values())))
    if what := companion(wanted):
        raise DownloadFailed(
            N_("{file} is {what}, not a model; choose the model's own file.", file=wanted, what=what)
        )
    there = ", ".join(Path(name).name for name in groups) or "no GGUF file at all"
    raise DownloadFailed(
        N_(
            "The repository has no unique file for {wanted!r}; it has {there}.",
            wanted=wanted or "Q4_K_M",
            there=there,
        )
    )


def _named(groups: dict[str, list[RepositoryFile]], wanted: str) -> str:
    """The only group of that name or quantization; of a quantization and Unsloth's variant of it (`UD-`), the
    one that was named. "" if there is none, or several."""
    if wanted.endswith(".gguf"):
        whole = SPLIT.sub(".gguf", wanted)
        found = [name for name in groups if whole in (name, Path(name).name)]
    else:
        ending = re.compile(rf"(^|[-._/]){re.escape(wanted)}\.gguf$", re.IGNORECASE)
        found = [name for name in groups if ending.search(name)]
        if len(found) > 1:
            found = [name for name in found if not re.search(r"[-._]UD-[^/]*$", name, re.IGNORECASE)]
    return found[0] if len(found) == 1 else ""


def _whole(shards: list[RepositoryFile]) -> list[RepositoryFile]:
    split = SPLIT.search(shards[0].name)
    if split and len(shards) != int(split[2]):
        raise DownloadFailed(
            N_(
                "Only {found} of {total} shards of {file} are available.",
                found=len(shards),
                total=int(split[2]),
                file=shards[0].name,
            )
        )
    return shards
