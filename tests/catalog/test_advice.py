"""What fits a machine, how fast it would be, and which to take."""

from dataclasses import replace
from pathlib import Path

import pytest

from myna.catalog.advice import Machine, model_advice, needed_bytes, recommended
from myna.catalog.bandwidth import best_bandwidth, measure_bandwidth
from myna.catalog.catalog_file import bundled_catalog

CATALOG = bundled_catalog()
GB = 1_000_000_000


def machine(memory_gb: float, gb_per_s: float, *, only: str = "") -> Machine:
    return Machine(int(memory_gb * GB), gb_per_s * GB, lambda entry: only in ("", entry.architecture))


def take(machine: Machine, purpose: str) -> str:
    advice = recommended(CATALOG, machine, purpose)
    return advice.entry.id if advice else ""


def test_a_mixture_of_experts_is_as_fast_as_what_it_reads() -> None:
    speeds = {advice.entry.id: advice.tokens_per_s for advice in model_advice(CATALOG, machine(64, 50))}
    assert speeds["qwen3-32b"] == pytest.approx(0.8 * 50 * GB / 19_762_149_696)
    assert speeds["qwen3-30b-a3b"] / speeds["qwen3-32b"] == pytest.approx(9.8, rel=0.01)


@pytest.mark.parametrize(
    ("memory_gb", "gb_per_s", "chat", "code"),
    [
        (0.2, 10, "", ""),
        (0.9, 10, "qwen3-0.6b", "qwen2.5-coder-0.5b-instruct"),
        (4, 15, "qwen3.5-2b", "qwen2.5-coder-1.5b-instruct"),
        (8, 40, "gemma-4-e4b", "qwen2.5-coder-1.5b-instruct"),
        (16, 80, "gpt-oss-20b", "gpt-oss-20b"),
        (32, 80, "qwen3.6-35b-a3b", "qwen3.6-35b-a3b"),
        (32, 0.001, "smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"),
    ],
)
def test_the_model_to_take_fits_and_is_fast_enough(
    memory_gb: float, gb_per_s: float, chat: str, code: str
) -> None:
    here = machine(memory_gb, gb_per_s)
    assert (take(here, "chat"), take(here, "code")) == (chat, code)


def test_only_what_an_engine_runs_is_recommended() -> None:
    assert take(machine(64, 400, only="qwen3"), "chat") == "qwen3-8b"
    assert take(machine(64, 400, only="nothing"), "chat") == ""


def test_those_to_take_come_first_and_what_is_too_large_last() -> None:
    listed = model_advice(CATALOG, machine(6, 20))
    assert [bool(advice.best_for) for advice in listed] == sorted(
        (bool(o.best_for) for o in listed), reverse=True
    )
    assert {purpose for advice in listed for purpose in advice.best_for} == {"chat", "code", "embeddings"}
    fitting = [advice.fits for advice in listed if not advice.best_for]
    assert fitting == sorted(fitting, reverse=True)
    assert len(listed) == len(CATALOG.entries)


def test_the_kv_cache_counts() -> None:
    entry = CATALOG.find("qwen3-4b")
    needed = needed_bytes(entry)
    assert 1.1 * GB < needed - entry.num_bytes < 1.5 * GB
    assert 0.3 * GB < needed - needed_bytes(entry, "q8_0") < 0.7 * GB
    small = replace(machine(6, 20), kv_cache_types={"qwen3-4b": "q8_0"})
    assert needed_bytes(entry, "q8_0") in {advice.needed_bytes for advice in model_advice(CATALOG, small)}


def test_the_bandwidth_is_measured_and_the_best_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "home" / "bandwidth.json"
    assert measure_bandwidth(2) > 1e7
    first = best_bandwidth(path, 2, 8 * GB)
    path.write_text(path.read_text().replace(str(first), "1e15"))
    assert best_bandwidth(path, 2, 8 * GB) == 1e15
    assert best_bandwidth(path, 1, 8 * GB) < 1e15
    path.write_text("{")
    assert best_bandwidth(path, 2, 8 * GB) < 1e15
