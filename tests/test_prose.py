"""`scripts/check-prose`: what it finds, in which texts, and that the paths in its list are free of it."""

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
    ],
)
def test_a_turn_of_phrase_that_nobody_uses_is_found(script: ModuleType, text: str) -> None:
    assert list(script.faults(text))


@pytest.mark.parametrize(
    "text",
    [
        "There is no file bird.",
        "It is no longer there.",
        "besides that, 12 tokens per second",
        "a recommended amendment",
        "one number per draw",
    ],
)
def test_plain_english_is_not(script: ModuleType, text: str) -> None:
    assert list(script.faults(text)) == []


def test_python_is_read_in_strings_and_comments_alone(script: ModuleType) -> None:
    source = 'told = 1  # is told\nname = f"{told} is no name"\n'
    found = [(line, text) for line, text in script.prose_of(source) if list(script.faults(text))]
    assert [line for line, _ in found] == [1, 2]


def test_the_listed_paths_are_free_of_it(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert [path for path in script.PATHS if not (ROOT / path).exists()] == []
    script.main([])
    assert capsys.readouterr().out == ""
