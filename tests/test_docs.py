"""The site builds without a warning in both languages, and everything in it is there in both."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from myna.wire.errors import ERROR_ROWS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "scripts" / "docs"), str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_is_there_in_both_languages(site: Path) -> None:
    english = {path.name for path in site.glob("*.html")} - {"404.html"}
    assert {path.name for path in (site / "zh").glob("*.html")} == english
    assert {"tutorial.html", "command-line.html", "errors.html", "configuration.html"} <= english


def test_chinese_pages_are_chinese(site: Path) -> None:
    for page in (site / "zh").glob("*.html"):
        body = page.read_text(encoding="utf-8").partition("<article")[2].partition("</article>")[0]
        assert sum("一" <= letter <= "鿿" for letter in body) > 100, page.name


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for attribute in ('src="http', 'rel="stylesheet" href="http', "@import url(http"):
            assert attribute not in text, page


def test_the_reference_of_the_command_line_is_the_command_line(site: Path) -> None:
    text = (site / "command-line.html").read_text(encoding="utf-8")
    for verb in ("serve", "pull", "models", "keys", "limits", "replay"):
        assert f"myna {verb}</code>" in text, verb
    assert "--port" in text


def in_both(page: str, pattern: str) -> list[set[str]]:
    """What the pattern finds on the page in each language."""
    names = (f"{page}.md", f"{page}.zh.md")
    return [set(re.findall(pattern, (ROOT / "docs" / name).read_text(encoding="utf-8"))) for name in names]


@pytest.mark.parametrize(
    ("page", "pattern"),
    [
        ("configuration", r"(?m)^\| (`\w+`) \|"),
        ("parameters", r"(?m)^\| (`\w+`) \|"),
        ("architecture", r"`((?:[a-z_]+\.)+[A-Za-z_.]+)`"),
        ("metrics", r"`((?:vllm:|myna_)\w+)`"),
        ("complaints", r"(?m)^\| (\d+) \|"),
    ],
)
def test_both_languages_have_the_same_content(page: str, pattern: str) -> None:
    english, chinese = in_both(page, pattern)
    assert english == chinese != set()


def test_every_error_is_explained_in_chinese() -> None:
    told = json.loads((ROOT / "scripts" / "errors.zh.json").read_text(encoding="utf-8"))
    assert set(told) == {kind.__name__ for kind in ERROR_ROWS}
