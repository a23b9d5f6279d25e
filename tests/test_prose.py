"""`scripts/check-prose`: what it finds, in which texts, and that the paths in its list are free of it."""

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("check_prose", str(ROOT / "scripts" / "check-prose"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "text",
    [
        "'x' is no base URL",
        "Fix it, or mend it.",
        "the tier is told",
        "The alias stands for itself",
        "it counts for whoever asks",
        "all models unless said",
        "one lies beside it",
        "12 tokens a second",
        "Dollars a million tokens",
        "0 takes the likeliest",
        "one number a draw",
        "the model is loaded anew",
        "values lie side by side",
        "The most is 2.",
        "it ends after so many tokens",
        "An extension of Myna's.",
        "the server wants a key",
        "when it no longer takes the key",
        "whether it lets us in",
        "A text a line",
        "from 0 for the unlikeliest",
    ],
)
def test_an_idiosyncratic_phrase_is_found(script: ModuleType, text: str) -> None:
    assert list(script.faults(text))


@pytest.mark.parametrize(
    "text",
    [
        "There is no file bird.",
        "It is no longer there.",
        "besides that, 12 tokens per second",
        "a recommended amendment",
        "one number per draw",
        "part of OpenAI's document",
        "the server requires a key and accepts this one",
        "one text per line",
    ],
)
def test_plain_english_is_not(script: ModuleType, text: str) -> None:
    assert list(script.faults(text)) == []


def test_python_is_read_in_strings_and_comments_alone(script: ModuleType) -> None:
    source = 'told = 1  # is told\nname = f"{told} is no name"\n'
    found = [(line, text) for line, text in script.python_prose_of(source) if list(script.faults(text))]
    assert [line for line, _ in found] == [1, 2]


def test_tests_are_read_in_their_names_alone(script: ModuleType) -> None:
    source = '"""What is told."""\n\nasync def test_it_is_told(told):\n    told()\n'
    assert list(script.names_of(source)) == [(3, "it is told")]


def test_notebooks_are_read_in_their_markdown_cells_alone(script: ModuleType) -> None:
    cells = [
        {"cell_type": "code", "source": ["likeliest = 1"]},
        {"cell_type": "markdown", "source": ["The *likeliest*\n", "of all"]},
    ]
    texts = list(script.prose_of(Path("a.ipynb"), json.dumps({"cells": cells})))
    assert texts == [(1, "The *likeliest*\nof all")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.js", "// Who hears that it is told.\nrun();\n"),
        ("a.css", "/* What stands for it. */\n.a {\n}\n"),
        ("a.html", "<!-- loaded anew -->\n"),
    ],
)
def test_the_pages_files_are_read(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setattr(script, "ROOT", tmp_path)
    page = tmp_path / "src" / "myna" / "web" / "static"
    for folder in (page, page / "vendor"):
        folder.mkdir(parents=True)
        (folder / name).write_text(text, encoding="utf-8")
    found = list(script.faults_of(tmp_path / "src"))
    assert [fault.split(":")[:2] for fault in found] == [[f"src/myna/web/static/{name}", "1"]]


def test_the_listed_paths_are_free_of_it(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert [path for path in script.PATHS if not (ROOT / path).exists()] == []
    script.main([])
    assert capsys.readouterr().out == ""
