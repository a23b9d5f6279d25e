"""Live servers for the examples: with the default model, and for embeddings. `MYNA` is the command."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KEY = "sk-clients-0123456789abcdef"  # a server that no terminal reads doesn't print its own
MODEL = "qwen2.5-coder-0.5b-instruct"
MODELS = Path(os.environ.get("MYNA_TEST_MODELS") or Path.home() / ".local/share/myna/models")


@pytest.fixture(scope="session")
def weights() -> Path:
    path = MODELS / f"{MODEL}.gguf"
    assert path.is_file(), f"{path} is missing; download it with: myna pull {MODEL}"
    return path


@pytest.fixture(scope="session")
def server(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """With the default model."""
    with serving(tmp_path_factory.mktemp("home"), str(weights)):
        yield


@pytest.fixture
def embedding_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """With the fake embedding model, to which texts with words in common are near each other."""
    with serving(tmp_path_factory.mktemp("home"), "--engine", "fake"):
        yield


@contextmanager
def serving(home: Path, *arguments: str, **settings: str) -> Iterator[str]:
    """Started, and announced to the examples in OpenAI's standard environment variables. Yields the base
    URL."""
    command = [*shlex.split(os.environ.get("MYNA", "myna")), "serve", *arguments, "--port", "0"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MYNA_")}
    environment = own | {"MYNA_HOME": str(home), "MYNA_API_KEY": KEY} | settings
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base_url = ""
        for line in process.stdout:
            if match := re.match(r" +Base URL +(\S+)", line):
                base_url = match[1]
            if "Ctrl-C" in line:
                break
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_BASE_URL", base_url)
            patch.setenv("OPENAI_API_KEY", KEY)
            patch.setenv("NO_PROXY", "127.0.0.1")
            yield base_url
        process.terminate()
        process.stdout.read()
        assert process.wait(60) == 0
