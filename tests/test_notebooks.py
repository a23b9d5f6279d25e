"""The notebooks run against a live server with the default model, and show what they were saved with."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = ["quickstart.ipynb", "快速入门.ipynb"]
# ipykernel warns about its transport, and its sockets outlive the client by a moment.
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning", "default::DeprecationWarning")


@pytest.fixture(autouse=True)
def without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels run matplotlib and the client, nothing of Myna: measuring them would only take longer."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def read(name: str) -> Any:
    return nbformat.read(EXAMPLES / name, as_version=4)  # type: ignore[no-untyped-call]


def run(notebook: Any) -> None:
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()


def printed(cell: Any) -> str:
    """What a reader sees below the cell in words; warnings are not compared, nor pictures."""
    outputs = cell.get("outputs", [])
    texts = [output["text"] for output in outputs if output.get("name") == "stdout"]
    return "".join(texts + [output["data"].get("text/plain", "") for output in outputs if "data" in output])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_shows_what_it_was_saved_with(
    name: str, default_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.setenv(variable, default_server[variable])
    saved, fresh = read(name), read(name)
    run(fresh)
    for before, after in zip(saved.cells, fresh.cells, strict=True):
        if before.cell_type == "code" and "varies" not in before.metadata.get("tags", []):
            assert printed(after) == printed(before), before.source


def test_both_languages_teach_the_same() -> None:
    english, chinese = (read(name).cells for name in NOTEBOOKS)
    assert [cell.cell_type for cell in english] == [cell.cell_type for cell in chinese]
    pictures = [
        [
            cell["id"]
            for cell in cells
            if any("image/png" in o.get("data", {}) for o in cell.get("outputs", []))
        ]
        for cells in (english, chinese)
    ]
    assert pictures[0] == pictures[1] != []


@pytest.mark.parametrize(
    ("name", "words"), list(zip(NOTEBOOKS, ["start a server", "启动服务器"], strict=True))
)
def test_without_a_server_it_says_how_to_start_one(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")  # the discard port: nobody listens
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with pytest.raises(CellExecutionError, match="SystemExit") as stopped:
        run(read(name))
    assert words in str(stopped.value)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_wrong_key_says_where_the_right_one_is(
    name: str, default_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", default_server["OPENAI_BASE_URL"])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    with pytest.raises(CellExecutionError, match="myna key"):
        run(read(name))
