"""The shape of the code, counted: file, function and class sizes, names that hide what a thing is."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "myna"
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_METHODS, MAX_P90_FUNCTION_LINES = 400, 60, 15, 30
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def _functions() -> Iterator[tuple[str, int]]:
    for path, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_files_are_short() -> None:
    sizes = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path, _ in _trees()}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    lengths = dict(_functions())
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}
    ordered = sorted(length for _, length in _functions())
    assert ordered[int(len(ordered) * 0.9)] <= MAX_P90_FUNCTION_LINES


def test_classes_have_few_methods() -> None:
    crowded = {
        f"{path.name}:{node.name}": count
        for path, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and (count := sum(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for n in node.body))
        > MAX_METHODS
    }
    assert crowded == {}


def test_every_module_says_what_it_owns() -> None:
    silent = [str(path) for path, tree in _trees() if not ast.get_docstring(tree)]
    assert silent == []


def test_no_module_hides_behind_a_vague_name() -> None:
    assert [str(path) for path, _ in _trees() if path.stem in VAGUE or path.parent.name in VAGUE] == []
