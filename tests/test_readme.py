"""The README does what it says: its programs print what it shows, its commands exist."""

import re
import shlex
import subprocess
import sys
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from myna.catalog.catalog_file import bundled_catalog
from myna.catalog.entries import Wheels
from myna.cli.root import app
from myna.settings import load_settings

ROOT = Path(__file__).parent.parent
READMES = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")]
BLOCKS = [re.findall(r"```(\w+)\n(.*?)```", readme, re.DOTALL) for readme in READMES]
PROGRAMS = [
    [(code, shown) for (kind, code), (_, shown) in pairwise(blocks) if kind == "python"] for blocks in BLOCKS
]
COMMANDS = sorted(
    {line for blocks in BLOCKS for kind, text in blocks if kind == "sh" for line in text.splitlines()}
)


@pytest.mark.parametrize(
    ("code", "shown"), sorted({program for programs in PROGRAMS for program in programs})
)
def test_a_program_prints_what_is_shown(code: str, shown: str, default_server: dict[str, str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", code], env=default_server, capture_output=True, text=True, timeout=300
    )
    assert ran.stderr == ""
    assert ran.stdout.strip() == shown.strip()


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("myna ")])
def test_a_command_and_its_flags_exist(command: str) -> None:
    verb = takewhile(lambda word: not word.startswith("-"), shlex.split(command)[1:])
    helped = CliRunner().invoke(app, [*verb, "--help"], env={"COLUMNS": "200"})
    assert helped.exit_code == 0
    for flag in re.findall(r"--[a-z-]+", command):
        assert flag in helped.output


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_a_make_target_exists(command: str) -> None:
    asked = subprocess.run(["make", "-n", command.split()[1]], cwd=ROOT, capture_output=True, check=False)
    assert asked.returncode == 0


@pytest.mark.parametrize(("readme", "programs"), list(zip(READMES, PROGRAMS, strict=True)), ids=["en", "zh"])
def test_the_first_screen_has_install_start_and_a_request(
    readme: str, programs: list[tuple[str, str]]
) -> None:
    first = "\n".join(readme.splitlines()[:47])
    assert "make serve" in first
    assert "OpenAI()" in first
    assert programs[0][1] in first


def test_both_languages_have_the_same_chapters_and_commands() -> None:
    english, chinese = (len(re.findall("^## ", readme, re.MULTILINE)) for readme in READMES)
    assert english == chinese
    assert [kind for kind, _ in BLOCKS[0]] == [kind for kind, _ in BLOCKS[1]]


@pytest.mark.parametrize("readme", READMES, ids=["en", "zh"])
def test_the_table_of_models_has_those_that_need_no_hub(readme: str) -> None:
    for entry in bundled_catalog().entries:
        if not any(isinstance(source, Wheels) for source in entry.sources):
            continue
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{entry.id}`"))
        assert f"{entry.num_bytes / 1e6:,.0f} MB" in row
        assert entry.licence in row


def test_the_example_configuration_is_valid(tmp_path: Path) -> None:
    example = ROOT / "examples" / "myna.toml"
    settings = load_settings(environ={"MYNA_CONFIG": str(example)}, directory=tmp_path)
    assert {alias.kind for alias in settings.aliases} == {"alias", "instruct"}


@pytest.mark.parametrize(
    "link", sorted({link for readme in READMES for link in re.findall(r"\]\(([^)]+)\)", readme)})
)
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
