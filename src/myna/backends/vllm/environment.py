"""vLLM's own Python environment: where it is, what is in it, and how workers run in it.

It is separate since vLLM pins libraries in other versions than Myna's."""

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

import myna
from myna.core.backend import Section
from myna.core.errors import ConfigurationError
from myna.core.paths import expand_user
from myna.core.translatable import N_
from myna.workers.program import WorkerProgram

_ASK: Final = "import importlib.metadata as m; print(m.version('vllm'))"
_ASK_S: Final = 60.0
_EXIT_S: Final = 10.0
# Of the server's own variables, besides those that all workers get.
_PASSED: Final = re.compile(
    r"(VLLM|HF|NCCL|TORCH|TORCHINDUCTOR|TRITON|GLOO|ROCM|HIP)_\w+|XDG_CACHE_HOME|CC|CXX"
)
_SECRET: Final = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)(?:_|$)")
_DEVICES: Final = (
    "/dev/nvidia0",
    "/dev/kfd",
    "/dev/dxg",
)  # NVIDIA, AMD, both under Windows' subsystem for Linux


class VllmConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[engines.vllm]`. `python` is the interpreter of an environment that has vLLM."""

    python: str = ""


class EnginesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[engines]`."""

    vllm: VllmConfig = VllmConfig()


@dataclass(frozen=True, slots=True)
class VllmEnvironment:
    """`python` may not exist. `home` is Myna's data folder."""

    python: Path
    home: Path

    @classmethod
    def of(cls, section: object, home: Path) -> "VllmEnvironment":
        """That of the settings, or else the one that `myna engines install vllm` makes. Raises
        `ConfigurationError`."""
        try:
            values = section.values if isinstance(section, Section) else {}
            config = msgspec.convert(values, EnginesConfig)
        except msgspec.ValidationError as exc:
            raise ConfigurationError(N_("[engines] is not as expected: {reason}.", reason=exc)) from None
        if not config.vllm.python:
            return cls(installed_python(home), home)
        folder = section.folder if isinstance(section, Section) else Path()
        return cls(folder / expand_user(config.vllm.python), home)

    @property
    def is_there(self) -> bool:
        return self.python.is_file()

    def check(self) -> None:
        """Raises `ConfigurationError` if it isn't there."""
        if not self.is_there:
            raise ConfigurationError(
                N_(
                    "Folders of safetensors are run by vLLM, which is not at {python}. Install it with: myna "
                    "engines install vllm. Or choose a GGUF file of the model: myna models --available",
                    python=self.python,
                )
            )

    def version(self) -> str:
        """vLLM's version in that environment, such as `0.32.0+cpu`; starts a process. Raises
        `ConfigurationError`."""
        try:
            asked = subprocess.run(  # noqa: S603 - the owner's own interpreter
                [self.python, "-P", "-c", _ASK], capture_output=True, text=True, timeout=_ASK_S, check=True
            )
        except (OSError, subprocess.SubprocessError) as exc:
            raise ConfigurationError(
                N_(
                    "{python} has no vLLM. Create an environment for it with: myna engines install vllm",
                    python=self.python,
                )
            ) from exc
        return asked.stdout.strip()

    def program(self, threads: int, environ: Mapping[str, str]) -> WorkerProgram:
        """How to run a worker there."""
        variables = {
            name: value
            for name, value in environ.items()
            if _PASSED.fullmatch(name) and not _SECRET.search(name)
        }
        if threads:
            variables |= {"OMP_NUM_THREADS": str(threads), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        variables |= {
            "PYTHONPATH": str(self._source()),
            "HF_HUB_OFFLINE": "1",  # models are folders on this machine
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": variables.get("VLLM_LOGGING_LEVEL", "WARNING"),
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # `workers.vllm.main` relies on it
        }
        return WorkerProgram(
            str(self.python),
            "myna.workers.vllm.main",
            variables,
            is_confined=False,
            has_processes=True,
            exit_s=_EXIT_S,
        )

    def _source(self) -> Path:
        """A folder with nothing but Myna in it: that which Myna is in may hold all libraries of its
        environment."""
        package = Path(myna.__file__).parent
        mark = hashlib.sha256(str(package).encode()).hexdigest()[:12]
        folder = self.home / "engines" / f"source-{mark}"
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            (folder / "myna").symlink_to(package)
        return folder


def installed_python(home: Path) -> Path:
    """The interpreter of the environment that Myna makes for vLLM."""
    return home / "engines" / "vllm" / "bin" / "python"


def has_gpu() -> bool:
    """Whether this machine has a graphics processor that vLLM may use."""
    return any(os.path.exists(device) for device in _DEVICES)  # noqa: PTH110 - a device, not a file
