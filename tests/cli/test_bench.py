"""`myna bench`: what it measures, counts and draws; on a tiny model, so that it takes no time."""

import json
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.engines.tiny_models import VOCABULARY, Kind, Tiny, write_tiny

from myna.cli import bench, bench_measure
from myna.cli.bench_measure import Scenario
from myna.core.installation import install_command
from myna.engines.native import load

PNG = b"\x89PNG\r\n\x1a\n"
SCENARIOS = (
    Scenario("decode", 1),
    Scenario("decode", 4),
    Scenario("prefill", 128),
    Scenario("prefill", 4096),
)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench_measure, "SCENARIOS", SCENARIOS)
    monkeypatch.setattr(bench_measure, "_PROBE_S", 0.01)
    monkeypatch.setattr(bench_measure, "_LEAST_S", 0.01)
    words = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": [f"t{token}" for token in range(VOCABULARY)],
        "tokenizer.ggml.merges": ["t 1"],
    }
    tiny = Tiny("llama", head_dim=32, weights=Kind.Q5_0, overrides=words)
    return write_tiny(tmp_path / "tiny.gguf", tiny)


def test_figures_for_programs(run: Run, tiny: Path) -> None:
    ran = run("bench", str(tiny), "--json", "--rounds", "1", "--threads", "1")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["machine"]["gigabytes_per_s"] > 0
    assert found["threads"] == 1
    # A prompt that the model's context can't hold is not measured.
    assert [(row["kind"], row["size"]) for row in found["results"]] == [
        ("decode", 1),
        ("decode", 4),
        ("prefill", 128),
    ]
    for row in found["results"]:
        assert row["tokens_per_s"] > 0
        assert row["llamacpp_tokens_per_s"] > 0
        assert row["ratio"] == pytest.approx(row["tokens_per_s"] / row["llamacpp_tokens_per_s"], abs=0.01)
        assert row["gigabytes_per_s"] >= 0


def test_a_step_is_counted_without_the_prompt_before_it(tiny: Path) -> None:
    engine = load(str(tiny), context_tokens=512, memory_bytes=64 << 20, threads=1)
    one, four = (bench_measure._one_step(engine, Scenario("decode", size)) for size in (1, 4))
    engine.close()
    assert four.multiply_adds == 4 * one.multiply_adds > 0
    assert four.weight_bytes == one.weight_bytes > 0


def test_a_table_bars_and_a_picture(run: Run, tiny: Path, tmp_path: Path) -> None:
    picture = tmp_path / "speed.png"
    ran = run("bench", str(tiny), "--rounds", "1", "--no-peer", "--plot", str(picture))
    assert ran.code == 0, ran.err
    assert "tokens/s" in ran.out and "GB/s" in ran.out and "GOPS" in ran.out
    assert "█" in ran.out
    assert "llama.cpp" not in ran.out
    assert picture.read_bytes().startswith(PNG)
    assert str(picture) in ran.err


@pytest.mark.parametrize("picture", ["no/such/folder.png", "picture.of-an-unknown-kind"])
def test_a_picture_that_cannot_be_written_is_one_sentence(
    run: Run, tiny: Path, tmp_path: Path, picture: str
) -> None:
    ran = run("bench", str(tiny), "--rounds", "1", "--no-peer", "--plot", str(tmp_path / picture))
    assert ran.code == 1
    assert "picture" in ran.err
    assert "Traceback" not in ran.err


def test_what_is_missing_is_named_with_its_extra(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "is_installed", lambda name: False)
    ran = run("bench", str(tiny), "--rounds", "1")
    assert ran.code == 0
    assert install_command("llamacpp") in ran.err
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    monkeypatch.delitem(sys.modules, "myna.cli.bench_plot", raising=False)
    ran = run("bench", str(tiny), "--plot", str(tmp_path / "x.png"))
    assert (ran.code, ran.out) == (1, "")
    assert install_command("plot") in ran.err


def test_a_file_that_is_not_a_model_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\xff" * 60)
    ran = run("bench", str(tmp_path / "bad.gguf"))
    assert ran.code == 1
    assert ran.err.count("\n") == 1
