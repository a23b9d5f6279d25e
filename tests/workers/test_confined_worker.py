"""A worker that was taken over by its model file reaches nothing: no other file, connection or process."""

import os
import sys
from pathlib import Path

import pytest
from tests.prompts.gguf_files import tiny

from myna.core.confinement import missing
from myna.core.errors import ModelLoadFailed
from myna.workers.client import WorkerClient
from myna.workers.confinement import confinement_of
from myna.workers.frames import WorkerSpec
from myna.workers.launching import EarlyWorker

HIJACKED = Path(__file__).with_name("hijacked")
pytestmark = pytest.mark.skipif(bool(missing()), reason="this system can't confine processes")

ALLOWED = {"read its model"}


@pytest.fixture(autouse=True)
def is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose coverage is measured is not confined."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.mark.parametrize("is_early", [False, True])
async def test_a_hijacked_worker_is_refused_everything_but_its_model(
    is_early: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(tmp_path)
    (tmp_path / "other").write_text("not for the worker")
    monkeypatch.setenv("LC_TEST_MODEL", str(model))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HIJACKED), *filter(None, sys.path)]))
    before = states_of_files(tmp_path)
    lock = str(tmp_path / "step.lock")
    early = EarlyWorker()
    if is_early:
        early.start()
    spec = WorkerSpec("llamacpp", str(model), memory_bytes=1 << 20, step_lock=lock)
    client = WorkerClient(spec, early=early)
    with pytest.raises(ModelLoadFailed) as failure:
        await client.start()
    outcomes = dict(part.split(": ") for part in failure.value.message.split("; "))
    assert len(outcomes) == 18
    assert {name for name, outcome in outcomes.items() if outcome == "done"} == ALLOWED
    assert outcomes["use memory without end"] == "MemoryError"
    (tmp_path / "step.lock").unlink()
    assert states_of_files(tmp_path) == before


def states_of_files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mode) for path in folder.iterdir()}


def thread_states(pid: int | None) -> tuple[list[str], str]:
    process = Path(f"/proc/{pid}")
    states = [path.read_text() for path in process.glob("task/*/status")]
    return states, (process / "oom_score_adj").read_text()


@pytest.mark.parametrize("is_early", [False, True])
async def test_every_thread_of_a_worker_is_confined(is_early: bool) -> None:
    early = EarlyWorker()
    if is_early:
        early.start()
    client = WorkerClient(WorkerSpec("fake", "fake"), early=early)
    await client.start()
    try:
        states, score = thread_states(client.pid)
    finally:
        await client.aclose()
    assert len(states) > 1
    for state in states:
        assert "NoNewPrivs:\t1" in state
        assert "Seccomp:\t2" in state
    assert score == "500\n"


def test_a_worker_may_read_all_shards_of_its_model_and_no_others(tmp_path: Path) -> None:
    for name in ("a-00001-of-00002", "a-00002-of-00002", "b-00001-of-00002", "a-00003-of-00003", "a"):
        (tmp_path / f"{name}.gguf").touch()
    first = tmp_path / "a-00001-of-00002.gguf"
    shards = (str(first), str(tmp_path / "a-00002-of-00002.gguf"))
    assert confinement_of(WorkerSpec("native", str(first))).readable == shards
    assert confinement_of(WorkerSpec("native", str(tmp_path / "a.gguf"))).readable == (
        str(tmp_path / "a.gguf"),
    )
    assert confinement_of(WorkerSpec("fake", str(tmp_path / "missing"))).readable == ()
    one, other = str(tmp_path / "a.gguf"), str(first)
    assert confinement_of(WorkerSpec("native", one, draft=other)).readable == (one, *shards)


def test_the_limit_of_private_memory_leaves_room_for_twice_the_plan(tmp_path: Path) -> None:
    small, large = (
        confinement_of(WorkerSpec("native", str(tmp_path), max_kv_bytes=kv_bytes)).data_bytes
        for kv_bytes in (1 << 30, 3 << 30)
    )
    assert small > 2 << 30
    assert large - small == 2 * (2 << 30)
