"""What tests of every folder need: where the test models are, and a real PostgreSQL."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.stores.postgresql import Cluster, running_cluster

from myna.settings import load_settings

os.environ["LC_ALL"] = "C.UTF-8"  # English, whatever language the developer's machine speaks


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


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server of the tests' own, started when the first test asks for it."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgresql_url(postgresql_cluster: Cluster) -> str:
    """The URL of an empty database on a real PostgreSQL."""
    return postgresql_cluster.new_database()
