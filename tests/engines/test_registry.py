"""An engine that isn't there, or can't run here, is one sentence with what to install."""

import importlib
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import myna
from myna.core.errors import ConfigurationError
from myna.core.installation import install_command
from myna.engines import registry
from myna.engines.registry import engines_to_try, is_installed, load_engine

EXTRA = install_command("llamacpp")


def load_native() -> None:
    load_engine("native", "any.gguf", context_tokens=0, memory_bytes=0, threads=1)


@pytest.fixture
def without_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a build that failed, or on a processor that no wheel is for."""
    monkeypatch.setitem(sys.modules, "myna._native", None)
    monkeypatch.delattr(myna, "_native", raising=False)
    monkeypatch.delitem(sys.modules, "myna.engines.native", raising=False)


@pytest.mark.usefixtures("without_extension")
def test_an_engine_that_was_not_built_names_the_extra_that_brings_another() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_native()
    assert caught.value.message.endswith(EXTRA)
    assert "\n" not in caught.value.message


@pytest.mark.usefixtures("without_extension")
def test_an_extension_for_another_processor_does_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"_native{EXTENSION_SUFFIXES[0]}").write_bytes(b"\x7fELF of another kind" + bytes(64))
    monkeypatch.delitem(sys.modules, "myna._native")
    monkeypatch.setattr(myna, "__path__", [str(tmp_path), *myna.__path__])
    importlib.invalidate_caches()
    assert is_installed("native")  # only loading shows it
    with pytest.raises(ConfigurationError) as caught:
        load_native()
    assert caught.value.message.endswith(EXTRA)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("wanted", ["auto", "native", "llamacpp"])
def test_a_server_without_the_wanted_engine_says_so(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as caught:
        engines_to_try(wanted)
    assert caught.value.message.endswith(EXTRA)
    assert "\n" not in caught.value.message


def test_kernels_that_this_processor_lacks_are_named() -> None:
    program = "from myna import _native\ntry: _native.kernel_name()\nexcept RuntimeError as exc: print(exc)"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"MYNA_CPU": "warp", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.startswith("MYNA_CPU=warp: no such kernels; this build has ")
    assert "portable" in run.stdout
