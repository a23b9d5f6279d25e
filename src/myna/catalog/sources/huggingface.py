"""Hugging Face: files of catalog entries, and any repository's GGUF files by `hf:org/repo:quantisation`."""

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, get_token, hf_hub_url
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

from myna.catalog.entries import HubFile
from myna.catalog.partial import PartialFile
from myna.catalog.sources import http
from myna.core.errors import DownloadFailed
from myna.core.translatable import N_

_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_PREFERRED = ("Q4_K_M", "Q4_0", "Q5_K_M", "Q8_0")


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """A file as listed by the hub, with the hash that it has of large files."""

    name: str
    num_bytes: int
    sha256: str


class HuggingFace:
    """Reads HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE from the environment, as the hub's own client does."""

    def __init__(self, source: HubFile) -> None:
        self._url = hf_hub_url(source.repository, source.file_name, revision=source.revision)
        token = get_token()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, timeout_s: float) -> None:
        if HF_HUB_OFFLINE:
            raise DownloadFailed(N_("HF_HUB_OFFLINE is set"))
        http.ask(self._url, self._headers, timeout_s)

    def fetch(self, partial: PartialFile, scratch: Path) -> None:
        http.fetch(self._url, self._headers, partial)


def list_gguf_files(repository: str, timeout_s: float) -> list[RepositoryFile]:
    """All GGUF files of the repository. Raises `DownloadFailed` with a remedy."""
    try:
        model = HfApi().model_info(repository, files_metadata=True, timeout=timeout_s)
    except GatedRepoError as exc:
        raise DownloadFailed(
            N_(
                "{repository} requires consent: accept its terms on its page, then set HF_TOKEN.",
                repository=repository,
            )
        ) from exc
    except (RepositoryNotFoundError, HFValidationError) as exc:
        raise DownloadFailed(
            N_("Hugging Face has no repository {repository!r} that you may read.", repository=repository)
        ) from exc
    except Exception as exc:  # the client doesn't document its HTTP library's errors
        raise DownloadFailed(
            N_("Hugging Face does not answer ({reason}).", reason=http.reason_of(exc))
        ) from exc
    return [
        RepositoryFile(file.rfilename, file.size or 0, file.lfs.sha256)
        for file in model.siblings or []
        if file.rfilename.endswith(".gguf") and file.lfs is not None
    ]


def choose_files(files: list[RepositoryFile], wanted: str) -> list[RepositoryFile]:
    """The files of one quantisation (`Q4_K_M`) or file name, all shards in order. "": the preferred one.

    Raises `DownloadFailed`, which lists the files in the repository.
    """
    groups: dict[str, list[RepositoryFile]] = {}
    for file in sorted(files, key=lambda file: file.name):
        groups.setdefault(_SPLIT.sub(".gguf", file.name), []).append(file)
    for choice in (wanted,) if wanted else _PREFERRED:
        matching = [name for name in groups if _is_named(name, choice)]
        if len(matching) == 1:
            return _whole(groups[matching[0]])
    if not wanted and len(groups) == 1:
        return _whole(next(iter(groups.values())))
    there = ", ".join(Path(name).name for name in groups) or "no GGUF file at all"
    raise DownloadFailed(
        N_(
            "The repository has no unique file for {wanted!r}; it has {there}.",
            wanted=wanted or "Q4_K_M",
            there=there,
        )
    )


def _is_named(name: str, wanted: str) -> bool:
    if wanted.endswith(".gguf"):
        return wanted in (name, Path(name).name)
    return re.search(rf"(^|[-._/]){re.escape(wanted)}\.gguf$", name, re.IGNORECASE) is not None


def _whole(shards: list[RepositoryFile]) -> list[RepositoryFile]:
    split = _SPLIT.search(shards[0].name)
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
