"""How extras are installed: from the clone, since there is no distribution of this name to download."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from myna.core import installation
from myna.core.installation import clone_folder, install_command, installed_from

ROOT = Path(__file__).parents[2]
FOLDERS = ("bench", "deploy", "docs", "examples", "native", "scripts", "src", "tests", ".ci")
# A command that would take a distribution of that name from a package index.
FROM_AN_INDEX = re.compile(
    r"\b(?:pip3?|pipx|uv|poetry|conda)\s+(?:tool\s+|pip\s+)?(?:install|add|run)\b"
    r"[^\n|;&`)]*?(?<![\w./@-])myna(?:\[[\w,]*\])?(?=[\s'\"`)|]|==|>=|$)"
)


class Direct:
    """A distribution whose `direct_url.json` says this."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._text


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "my clones" / "myna"
    (folder / "src" / "myna").mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    return folder


def install(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    monkeypatch.setattr("importlib.metadata.Distribution.from_name", lambda name: Direct(text))


def test_the_command_names_the_clone_that_was_installed(monkeypatch: pytest.MonkeyPatch, clone: Path) -> None:
    install(monkeypatch, json.dumps({"url": clone.as_uri(), "dir_info": {}}))
    assert "%20" in clone.as_uri()
    assert install_command("plot", Path("/nowhere")) == f"pip install '{clone}[plot]'"


def test_a_checkout_that_runs_is_its_own_clone(clone: Path) -> None:
    assert clone_folder(clone) == clone


@pytest.mark.parametrize(
    "text",
    [
        None,
        "{",
        "[]",
        '{"url": "https://example.com/myna.git", "vcs_info": {}}',
        '{"url": "file:///nowhere/myna-0.1-py3-none-any.whl", "archive_info": {}}',
    ],
)
def test_without_a_clone_the_command_is_for_its_folder(
    monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    install(monkeypatch, text)
    assert install_command("plot", Path("/nowhere")) == "pip install '.[plot]'"


def test_code_that_is_not_installed_came_from_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "DISTRIBUTION", "no-such-distribution-is-installed")
    assert installed_from() is None


def test_no_page_and_no_message_installs_the_name_from_an_index() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in texts()
        if path != Path(__file__)
        for match in FROM_AN_INDEX.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def texts() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file())
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix not in (".so", ".mo", ".pyc", ".png", ".gguf"):
                yield path


@pytest.mark.parametrize(
    "command",
    [
        "pip install myna",
        "sudo /opt/myna/bin/pip install myna",
        "pip install 'myna[otel]'",
        'pip install -U "myna[llamacpp]"',
        "uv tool install myna",
        "pipx install myna==0.1",
        "`pip install myna`",
    ],
)
def test_such_a_command_is_found(command: str) -> None:
    assert FROM_AN_INDEX.search(command)


@pytest.mark.parametrize(
    "command",
    [
        "pip install .",
        "pip install '.[otel]'",
        "pip install '/home/ana/myna[otel]'",
        "pip install /opt/src/myna",
    ],
)
def test_one_from_the_clone_is_not(command: str) -> None:
    assert not FROM_AN_INDEX.search(command)
