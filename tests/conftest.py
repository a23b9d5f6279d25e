"""What tests of every folder need: the test models, a real PostgreSQL, a server as a newcomer starts it."""

import functools
import gc
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.loop_guard import LoopGuard, fail_held_up
from tests.stores.postgresql import Cluster, running_cluster

from myna.app import FAMILIES
from myna.settings import DEFAULT_MODEL, load_settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, those with the same id are taken for one: Schemathesis gives all
    operations of a document the id of their function."""
    for item in items:
        if hasattr(item, "operation_label"):
            item._id = item.id.parse(f"{item.nodeid}[{item.operation_label}]")
    assert len({item.nodeid for item in items}) == len(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nearly everything that collecting tests creates is kept: to look for garbage in it costs seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What was collected, about 750,000 objects, lives as long as the process: each full collection of
    garbage would take a second to look at it."""
    gc.collect()
    gc.freeze()


# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile(
    "myna",
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("myna"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "myna"))

for family in FAMILIES:  # so that no test's event loop is the first to import them
    import_module(family)

os.environ["LC_ALL"] = "C.UTF-8"  # English, whatever language the developer's machine speaks


def models_folder() -> Path:
    """MYNA_TEST_MODELS, else the folder that `myna pull` fills."""
    return Path(os.environ.get("MYNA_TEST_MODELS") or load_settings().home / "models")


@pytest.fixture(autouse=True)
def event_loops_stay_free(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which one callback held an event loop for more than 50 ms of processor time.
    `@pytest.mark.allows_slow_callbacks("why")` is for what no server does while it serves."""
    guard = LoopGuard()
    guard.install()
    try:
        yield
    finally:
        guard.uninstall()
    if guard.blocked and request.node.get_closest_marker("allows_slow_callbacks") is None:
        fail_held_up(guard.blocked)


@functools.cache
def llama_cpp_models() -> Path:
    """The folder of what llama.cpp publishes in `models/`: `templates/*.jinja`, `ggml-vocab-*.gguf` with
    their `.inp` and `.out`. Fetched once by `scripts/llama-cpp-models`, which `make test` runs."""
    script = Path(__file__).parent.parent / "scripts" / "llama-cpp-models"
    environment = os.environ | {"VENV": str(Path(sys.executable).parents[1])}
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


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
def postgresql_url(postgresql_cluster: Cluster) -> Iterator[str]:
    """The URL of an empty database on a real PostgreSQL."""
    with postgresql_cluster.empty_database() as url:
        yield url


@pytest.fixture(scope="session")
def default_server(
    model_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """A live server with the default model, as `make serve` starts it: the environment that the README
    exports for clients."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(model_path(DEFAULT_MODEL).parent)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MYNA_")}
    # The texts shown are those of the arithmetic that all processors have.
    environment |= {"MYNA_HOME": str(home), "MYNA_PORT": "0", "MYNA_CPU": "int8"}
    command = [sys.executable, "-m", "myna.cli", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        base_url = ""
        for line in server.stdout:
            if match := re.match(r"  Base URL +(\S+)", line):
                base_url = match[1]
            if line.startswith("Stop with"):
                break
        key = (home / "key").read_text().strip()
        yield {**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": key}
        server.terminate()
        server.stdout.read()
        assert server.wait(60) == 0
