"""The note on a better model: only where Myna chose the default itself, and it is small for the machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from myna.catalog.advice import Machine
from myna.cli import machine
from myna.engines.registry import may_run
from myna.settings import Settings


@pytest.mark.parametrize(
    ("changes", "memory_gb", "said"),
    [
        (
            {},
            16,
            "This machine can run gpt-oss-20b, which is better (12,110 MB, about 38 tokens per second): ",
        ),
        ({}, 1, ""),
        ({"model": "smollm2-135m-instruct"}, 16, ""),
        ({"engine": "fake"}, 16, ""),
    ],
)
def test_a_better_model_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    memory_gb: int,
    said: str,
) -> None:
    here = Machine(memory_gb * 1_000_000_000, 1e11, lambda entry: True)
    monkeypatch.setattr(machine, "this_machine", lambda settings: here)
    machine.note_better_model(replace(Settings(home=tmp_path), **changes))  # type: ignore[arg-type]
    shown = capsys.readouterr().err
    assert shown.startswith(said) if said else shown == ""
    assert not said or shown.endswith("myna serve gpt-oss-20b\n")


def test_an_engine_of_one_s_own_runs_what_it_lists() -> None:
    assert may_run("native", "qwen3", embeds=False)
    assert not may_run("native", "unheard-of", embeds=False)
    assert may_run("fake", "unheard-of", embeds=True)
