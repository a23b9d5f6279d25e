"""Whole models from Hugging Face: which files are asked for, and what is said when they can't be had."""

from pathlib import Path

import pytest

from myna.catalog.names import HubName
from myna.catalog.sources.snapshot import pull_snapshot
from myna.core.errors import DownloadFailed

NAME = HubName("huggingface", "birds/Robin-4B", revision="v1")


def test_the_folder_is_a_model_of_the_repositorys_name(tmp_path: Path) -> None:
    asked: list[tuple[str, object]] = []

    def download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision))
        assert "*.safetensors" in allow_patterns
        assert not any("bin" in pattern or "py" in pattern for pattern in allow_patterns)
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / "model.safetensors").write_bytes(bytes(10))
        return str(tmp_path)

    model = pull_snapshot(NAME, download)
    assert asked == [("birds/Robin-4B", "v1")]
    assert (model.id, model.owned_by, model.num_bytes) == ("birds/Robin-4B", "birds", 10)
    assert model.path == tmp_path


def test_without_a_network_it_says_what_to_do() -> None:
    def download(*_: object, **__: object) -> str:
        raise ConnectionError("no route to host")

    with pytest.raises(DownloadFailed, match="serve a folder that has the model's files"):
        pull_snapshot(NAME, download)
