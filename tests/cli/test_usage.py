"""`myna usage`: a table for people, JSON and CSV for programs, from the database itself."""

import csv
import io
import json
import time
from pathlib import Path

from tests.cli.conftest import Run
from tests.stores.rows import usage_row

from myna.stores.registry import open_stores


def _fill(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    ledger = open_stores(f"sqlite:///{home}/myna.db").ledger()
    now_ms = int(time.time()) * 1000
    ledger.add(
        [
            usage_row(1, arrived_ms=now_ms, prompt_tokens=1200, first_token_ms=80, duration_ms=900),
            usage_row(
                2, arrived_ms=now_ms, model="", outcome="refused", prompt_tokens=0, completion_tokens=0
            ),
            usage_row(3, arrived_ms=now_ms, project="theirs", model="big", cost_nano=250_000_000),
            usage_row(4, arrived_ms=now_ms - 9 * 86_400_000, completion_tokens=7000),
        ]
    )
    ledger.close()


def test_a_newcomer_reads_that_there_were_no_requests_yet(run: Run) -> None:
    ran = run("usage")
    assert ran.code == 0
    assert ran.err.startswith("No requests since ")


def test_the_table_has_models_and_keys(run: Run, home: Path) -> None:
    _fill(home)
    made = run("keys", "create", "Ana's laptop", "--json")
    key = json.loads(made.out)
    ledger = open_stores(f"sqlite:///{home}/myna.db").ledger()
    ledger.add([usage_row(5, arrived_ms=int(time.time()) * 1000, key_id=key["id"])])
    ledger.close()
    out = run("usage").out
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert lines[1] == [
        "MODEL",
        "REQUESTS",
        "ERRORS",
        "PROMPT",
        "CACHED",
        "ANSWER",
        "FIRST",
        "TOKEN",
        "TIME",
        "COST",
    ]
    assert ["-", "1", "1", "0", "0", "0", "-", "-", "$0.0000"] in lines
    assert ["tiny", "2", "0", "1,210", "0", "10", "80", "ms", "450", "ms", "$0.0000"] in lines
    assert ["all", "4", "1", "1,220", "0", "15", "80", "ms", "300", "ms", "$0.2500"] in lines
    assert f"Ana's laptop ({key['id']})" in out
    assert "7,000" not in out
    assert "7,010" in run("usage", "--days", "30").out


def test_json_has_the_sums(run: Run, home: Path) -> None:
    _fill(home)
    shown = json.loads(run("usage", "--json").out)
    assert shown["total"]["num_requests"] == 3
    assert [part["model"] for part in shown["by_model"]] == ["", "big", "tiny"]
    assert shown["total"]["cost_usd"] == 0.25
    assert json.loads(run("usage", "--json", "--project", "default").out)["total"] is None


def test_csv_has_a_line_per_day_and_group(run: Run, home: Path) -> None:
    _fill(home)
    ran = run("usage", "--csv", "--days", "30")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [(row["project"], row["model"], row["completion_tokens"]) for row in rows] == [
        ("ours", "tiny", "7000"),
        ("ours", "", "0"),
        ("ours", "tiny", "5"),
        ("theirs", "big", "5"),
    ]


def test_a_database_in_memory_is_a_sentence(run: Run, home: Path) -> None:
    home.mkdir(parents=True)
    (home.parent / "myna").mkdir()
    (home.parent / "myna" / "myna.toml").write_text('database = "memory:"')
    ran = run("usage")
    assert ran.code == 1
    assert "set it to a file or a PostgreSQL database" in ran.err


def test_an_unknown_project_is_named(run: Run, home: Path) -> None:
    ran = run("usage", "--project", "none-of-these")
    assert ran.code == 1
    assert "myna projects list" in ran.err
