"""SIGKILL in the middle of many streams: what their clients have is in the ledger, once."""

from pathlib import Path

import pytest
from bench.crash_ledger import FAULTS, crash


@pytest.mark.parametrize("seed", [1, 2])
def test_no_token_is_lost_when_the_server_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.delenv("MYNA_CONFIG", raising=False)
    report = crash(tmp_path, total=240, concurrent=24, seed=seed)
    assert {fault: report[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0), report
    outcomes = report["outcomes"]
    assert isinstance(outcomes, dict)
    assert outcomes["lost"] > 0, "the kill hit nobody, so it showed nothing"
    assert outcomes["cancelled"] > 0
    assert report["journals_left"] == []
