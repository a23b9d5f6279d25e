"""Steps of the native engine take what they took: a slower engine is seen without looking at a clock."""

import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engines.native_cost import COUNTED_MODEL, MODELS, RECORD, instructions, work

MARGIN = 1.1  # compilers differ
RECORD_ANEW = "if that is meant: PYTHONPATH=src:. python -m tests.engines.native_cost --record"

recorded = json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.mark.parametrize("model", MODELS)
def test_a_step_reads_and_computes_what_it_did(model: str, model_path: Callable[[str], Path]) -> None:
    assert work(model_path(model)) == recorded["work"][model], RECORD_ANEW


def test_a_step_takes_no_more_instructions_than_it_did(model_path: Callable[[str], Path]) -> None:
    if platform.machine() not in ("x86_64", "AMD64") or "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("instructions are recorded of the AVX2 kernels, which this processor does not run")
    if shutil.which("valgrind") is None:
        pytest.skip("instructions are counted by callgrind; install it with: apt install valgrind")
    expected = recorded["instructions"][COUNTED_MODEL]
    found = instructions(model_path(COUNTED_MODEL))
    assert found.keys() == expected.keys()
    for step, count in found.items():
        assert 0 < count <= MARGIN * expected[step], (step, count, expected[step], RECORD_ANEW)
