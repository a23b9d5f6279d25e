"""The catalogue of the command line: all that the source marks is in it, translated, with the same fields."""

import ast
import string
import subprocess
import sys
import zipfile
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from myna.core import errors
from myna.core.errors import MynaError

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "myna"
# Layers whose errors only a client of the API sees, in English as OpenAI's are.
WIRE_ONLY = ("api", "app.py", "decoding", "generation", "http", "request", "scheduling", "web", "wire")
# What the terminal shows of its calls' first argument.
SHOWING = {"say", "says", "note", "print_error", "ok", "advice", "wrong"}
ERRORS = {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MynaError)
}
# Those that keep a server from starting, wherever they are raised.
OPERATOR_ERRORS = {"ConfigurationError", "OperatorError"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """`scripts/translations`."""
    loader = SourceFileLoader("translations", str(ROOT / "scripts" / "translations"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def catalogue(script: ModuleType) -> Any:
    return script.read(script.catalogue_path())


def messages(catalogue: Any) -> dict[str, str]:
    return {message.id: message.string for message in catalogue if message.id}


def test_the_catalogue_has_every_message_of_the_source_and_no_other(
    script: ModuleType, catalogue: Any
) -> None:
    places: dict[str, str] = dict(script.extracted())
    known = messages(catalogue)
    assert {text: place for text, place in places.items() if text not in known} == {}
    assert sorted(set(known) - set(places)) == []
    assert not catalogue.obsolete


def test_every_message_is_translated(catalogue: Any) -> None:
    assert [text for text, translation in messages(catalogue).items() if not translation] == []
    assert [message.id for message in catalogue if message.id and message.fuzzy] == []


def test_a_translation_has_the_fields_of_its_message(catalogue: Any) -> None:
    pairs = messages(catalogue).items()
    assert {text: made for text, made in pairs if fields(text) != fields(made)} == {}


def fields(template: str) -> set[tuple[str | None, str | None, str | None]]:
    """Name, format and conversion of each; none of a text that is shown as it is, such as one with JSON."""
    try:
        found = {(name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(template)}
    except ValueError:
        return set()
    return {field for field in found if field[0] is not None and field[0].isidentifier()}


def test_the_files_are_as_the_script_writes_them(script: ModuleType, catalogue: Any) -> None:
    path = script.catalogue_path()
    assert path.read_bytes() == script.po_bytes(script.updated(catalogue)), "run scripts/translations"
    assert path.with_suffix(".mo").read_bytes() == script.mo_bytes(catalogue), "run scripts/translations"


def test_a_wheel_has_the_compiled_catalogue(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-q"]
    command += ["-w", str(tmp_path), "-C", "wheel.cmake=false", "-C", f"build-dir={tmp_path / 'build'}"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    assert "myna/cli/locale/zh_CN/LC_MESSAGES/myna.mo" in zipfile.ZipFile(wheel).namelist()


def test_nothing_is_shown_unmarked() -> None:
    """A literal that is shown or raised is marked, and what is marked is a literal."""
    unmarked = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and node.args and _is_wrong(node, path.relative_to(SOURCE))
    ]
    assert unmarked == []


def _is_wrong(call: ast.Call, path: Path) -> bool:
    name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
    text = call.args[0]
    if name in ("N_", "_"):
        return not isinstance(text, ast.Constant) and path.name != "language.py"
    is_wire = path.parts[0] in WIRE_ONLY or path.is_relative_to("backends/remote")
    is_wire |= path.is_relative_to("workers/vllm")
    shows = name in (OPERATOR_ERRORS if is_wire else ERRORS)
    shows |= name in SHOWING and path.parts[0] in ("cli", "catalog")
    return shows and (
        isinstance(text, ast.JoinedStr) or (isinstance(text, ast.Constant) and text.value != "")
    )
