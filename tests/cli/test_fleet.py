"""`myna fleet` without Ray: what is refused before anything starts, with the next step."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.cli.conftest import Run

HAS_RAY = find_spec("ray") is not None


@pytest.fixture
def config(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of one model that has no file."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "fleet.toml"
    path.write_text(
        'model = "fake"\n[fleet.models.fake]\nengine = "fake"\nreplicas = 2\n'
        '[fleet.models."qwen3-4b"]\nreplicas = 1\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("MYNA_CONFIG", str(path))
    return path


@pytest.mark.parametrize("verb", [("up",), ("status",), ("down",), ("drain", "10.0.0.7")])
def test_a_fleet_needs_models(run: Run, verb: tuple[str, ...]) -> None:
    ended = run("fleet", *verb)
    assert ended.code != 0
    assert "[fleet.models.ID]" in ended.err


@pytest.mark.usefixtures("config")
def test_a_model_that_is_not_here_is_to_be_pulled(run: Run) -> None:
    ended = run("fleet", "up")
    assert ended.code != 0
    assert "myna pull qwen3-4b" in ended.err


@pytest.mark.usefixtures("config")
def test_only_models_of_the_fleet_are_scaled(run: Run) -> None:
    ended = run("fleet", "scale", "other", "3")
    assert ended.code != 0
    assert "fake, qwen3-4b" in ended.err


@pytest.mark.usefixtures("config")
@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
@pytest.mark.parametrize("verb", [("status",), ("status", "--json"), ("down",), ("drain", "10.0.0.7")])
def test_a_missing_ray_is_to_be_installed(run: Run, verb: tuple[str, ...]) -> None:
    ended = run("fleet", *verb)
    assert ended.code != 0
    assert "Ray is not installed" in ended.err and "[fleet]'" in ended.err
