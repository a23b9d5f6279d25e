"""The page's own modules as text: short, each saying what it owns; and the libraries next to them."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
STATIC = ROOT / "src" / "myna" / "web" / "static"
MAX_LINES = 400
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}


def _modules() -> list[Path]:
    return [path for path in sorted(STATIC.rglob("*.js")) if path.parent.name != "vendor"]


def test_modules_are_short_and_say_what_they_own() -> None:
    assert len(_modules()) > 50
    for path in _modules():
        text = path.read_text(encoding="utf-8")
        assert text.startswith("// "), path
        assert len(text.splitlines()) <= MAX_LINES, path
        assert path.stem not in VAGUE, path


def test_nothing_names_another_origin_or_makes_markup_of_text() -> None:
    """What the policy would refuse is not even written; sanitized markup has one place."""
    for path in _modules():
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"https?://(?!python\.invalid)", text) == [], path
        assert (
            re.findall(r"\beval\(|new Function|innerHTML\s*=|insertAdjacentHTML|document\.write", text) == []
        ), path
        assert ("dangerouslySetInnerHTML" in text) == (path.name == "coloured.js"), path


def test_the_libraries_are_those_that_the_notices_name() -> None:
    script = (ROOT / "scripts" / "vendor-web").read_text(encoding="utf-8")
    brought = set(re.findall(r'^    "([@\w./-]+)": \(\n        "([\d.]+)"', script, re.MULTILINE))
    page = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| ([@\w./-]+) \| ([\d.]+) \|", page, re.MULTILINE))
    assert brought == named
    fonts = re.search(r"FONTS = \((.*?)\)", script, re.DOTALL)
    assert fonts
    files = set(re.findall(r'"([\w-]+\.(?:js|css))": "', script)) | {"LICENSES.txt"}
    files |= {f"KaTeX_{font}.woff2" for font in re.findall(r'"([\w-]+)"', fonts[1])}
    assert {path.name for path in (STATIC / "vendor").iterdir()} == files


def test_style_sheets_name_only_files_that_are_there() -> None:
    for path in STATIC.rglob("*.css"):
        for name in re.findall(r"url\(([^)]*)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / name.strip("\"'")).is_file(), (path, name)
