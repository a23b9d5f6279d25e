"""A whole model from Hugging Face, as a folder of safetensors in the cache of the hub's own client."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from myna.catalog.names import HubName
from myna.catalog.sources import http
from myna.catalog.store import local_file
from myna.core.backend import LocalModel
from myna.core.errors import DownloadFailed
from myna.core.translatable import N_

# Nothing that runs code, and not the same weights in other formats.
_WANTED: Final = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model")

Download = Callable[..., str]


def pull_snapshot(name: HubName, download: Download = snapshot_download) -> LocalModel:
    """The model of that repository, downloaded as far as it isn't here. Raises `DownloadFailed` or
    `ModelFileError`."""
    try:
        folder = download(name.repository, revision=name.revision or None, allow_patterns=list(_WANTED))
    except GatedRepoError as exc:
        raise DownloadFailed(
            N_(
                "{repository} requires consent: accept its terms on its page, then set HF_TOKEN.",
                repository=name.repository,
            )
        ) from exc
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as exc:
        raise DownloadFailed(
            N_("Hugging Face has no repository {repository!r} that you may read.", repository=name.repository)
        ) from exc
    except Exception as exc:  # the client doesn't document its HTTP library's errors
        raise DownloadFailed(
            N_(
                "{repository} can't be downloaded from Hugging Face ({reason}). Without a network, serve a "
                "folder that has the model's files.",
                repository=name.repository,
                reason=http.reason_of(exc),
            )
        ) from exc
    return replace(local_file(Path(folder)), id=name.id, owned_by=name.repository.split("/")[0])
