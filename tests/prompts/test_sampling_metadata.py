"""Sampling defaults in a GGUF file, under llama.cpp's names."""

from pathlib import Path

from gguf.constants import Keys
from tests.prompts.gguf_files import tiny

from myna.core.sampling_defaults import SamplingDefaults
from myna.prompts.gguf import read_header
from myna.prompts.sampling_metadata import _NAMES, file_defaults


def test_the_files_values_are_read(tmp_path: Path) -> None:
    path = tiny(
        tmp_path,
        general__sampling__temp=0.7,
        general__sampling__top_p=0.95,
        general__sampling__top_k=20,
        general__sampling__min_p=0.05,
        general__sampling__penalty_repeat=1.05,
        general__sampling__mirostat=1,
    )
    found = file_defaults(read_header(path))
    assert found == SamplingDefaults(
        temperature=0.7, top_p=0.95, top_k=20, min_p=0.05, repetition_penalty=1.05
    )


def test_values_that_no_request_could_have_are_ignored(tmp_path: Path) -> None:
    path = tiny(
        tmp_path,
        general__sampling__temp=float("nan"),
        general__sampling__top_p="most",
        general__sampling__top_k=[1, 2],
        general__sampling__min_p=0.25,
    )
    assert file_defaults(read_header(path)) == SamplingDefaults(min_p=0.25)
    assert file_defaults(read_header(tiny(tmp_path))) == SamplingDefaults()


def test_the_names_are_llama_cpps() -> None:
    theirs = {value for name, value in vars(Keys.General).items() if name.startswith("SAMPLING_")}
    assert {f"general.sampling.{key}" for key in _NAMES} <= theirs
