"""What tests of every folder need: where the test models are."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from myna.settings import load_settings


def models_folder() -> Path:
    """MYNA_TEST_MODELS, else the folder that `myna pull` fills."""
    return Path(os.environ.get("MYNA_TEST_MODELS") or load_settings().home / "models")


@pytest.fixture(scope="session")
def model_path() -> Callable[[str], Path]:
    """`model_path("smollm2-135m-instruct")` is that model's GGUF file. A missing one fails the test:
    `make test` fetches all of them before pytest starts."""

    def find(model: str) -> Path:
        path = models_folder() / f"{model}.gguf"
        if not path.is_file():
            pytest.fail(f"{path} is missing; fetch it with: myna pull {model}", pytrace=False)
        return path

    return find
