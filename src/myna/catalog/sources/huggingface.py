"""Hugging Face: files of catalog entries, and any repository's GGUF files by `hf:org/repo:quantisation`."""

from pathlib import Path

from huggingface_hub import HfApi, get_token, hf_hub_url
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from myna.catalog.entries import HubFile
from myna.catalog.partial import PartialFile
from myna.catalog.repository import RepositoryFile
from myna.catalog.sources import http
from myna.core.errors import DownloadFailed
from myna.core.translatable import N_


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


def list_gguf_files(repository: str, revision: str, timeout_s: float) -> list[RepositoryFile]:
    """All GGUF files of the repository. Raises `DownloadFailed` with a remedy."""
    try:
        model = HfApi().model_info(
            repository, revision=revision or None, files_metadata=True, timeout=timeout_s
        )
    except GatedRepoError as exc:
        raise DownloadFailed(
            N_(
                "{repository} requires consent: accept its terms on its page, then set HF_TOKEN.",
                repository=repository,
            )
        ) from exc
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as exc:
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
