"""What `scripts/fuzz` compiles exists and finds its headers; only fuzzing itself needs clang."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = (ROOT / "scripts" / "fuzz").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", re.findall(r"native/\S+\.cpp", SCRIPT))
def test_sources_compile_with_the_script_s_own_folders(source: str) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    options = re.findall(r"-[ID]\S+|-std=\S+", SCRIPT)
    run = subprocess.run(
        [compiler, *options, "-fsyntax-only", source], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
