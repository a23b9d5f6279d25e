"""`myna keys`, `projects` and `limits`: on the database itself, with one sentence for every mistake."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run

from myna.accounts.keys import is_well_formed
from myna.core.accounts import AuditQuery
from myna.stores.registry import open_stores


def _json(run: Run, *arguments: str) -> Any:
    ran = run(*arguments, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_the_key_alone_is_on_standard_output_once(run: Run, home: Path) -> None:
    ran = run("keys", "create", "Ana's laptop")
    key = ran.out.strip()
    assert is_well_formed(key)
    assert "it is not shown again" in ran.err
    listed = run("keys", "list")
    assert "Ana's laptop" in listed.out
    assert key not in listed.out
    assert key not in run("keys", "list", "--json").out
    assert key.encode() not in (home / "myna.db").read_bytes()
    assert stat.S_IMODE((home / "secret").stat().st_mode) == 0o600


def test_a_key_has_what_the_options_say(run: Run) -> None:
    options = (
        "--scope",
        "read",
        "--scope",
        "inference",
        "--model",
        "tiny",
        "--model",
        "big",
        "--expires",
        "30d",
        "--unknown-parameters",
        "ignore",
    )
    made = _json(run, "keys", "create", "ci", *options)
    assert made["scopes"] == ["inference", "read"]
    assert made["models"] == ["tiny", "big"]
    assert made["unknown_parameters"] == "ignore"
    assert made["expires_at"] - made["created_at"] == 30 * 86_400
    assert is_well_formed(made["value"])
    assert not {"digest", "old_digest"} & set(made)


def test_a_key_treats_unknown_parameters_in_one_of_two_ways(run: Run) -> None:
    ran = run("keys", "create", "ci", "--unknown-parameters", "drop")
    assert ran.code != 0
    assert "choose from reject, ignore" in ran.err


def test_rotating_and_revoking_go_by_id_or_by_name(run: Run) -> None:
    made = _json(run, "keys", "create", "ci")
    rotated = _json(run, "keys", "rotate", "ci", "--overlap", "1h")
    assert rotated["id"] == made["id"]
    assert rotated["value"] != made["value"]
    assert rotated["old_expires_at"]
    assert run("keys", "revoke", made["id"]).out == f"Revoked {made['id']} (ci).\n"
    assert _json(run, "keys", "list") == []
    assert [key["status"] for key in _json(run, "keys", "list", "--all")] == ["revoked"]
    assert run("keys", "revoke", "ci").err == "myna: There is no key 'ci'; see: myna keys list\n"


def test_a_key_that_stores_has_a_project_of_its_own_unless_one_is_named(run: Run) -> None:
    projects = {name: _json(run, "keys", "create", name)["project"] for name in ("ana", "ben")}
    assert len({*projects.values(), "default"}) == 3
    assert "ana" in run("projects", "list").out
    assert _json(run, "keys", "create", "shared", "--project", "default")["project"] == "default"
    assert _json(run, "keys", "create", "prometheus", "--scope", "read")["project"] == "default"
    assert run("keys", "create", "never made", "--expires", "0s").code == 1
    assert "never made" not in run("projects", "list").out


def test_projects_part_keys(run: Run) -> None:
    project = run("projects", "create", "Website").out.strip()
    assert _json(run, "keys", "create", "web", "--project", "Website")["project"] == project
    assert _json(run, "keys", "list", "--project", "default") == []
    assert len(_json(run, "keys", "list", "--project", project)) == 1
    assert "Shop" in run("projects", "rename", "Website", "Shop").out
    assert "Shop" in run("projects", "list").out
    assert run("projects", "archive", "Shop").code == 0
    assert "Shop" not in run("projects", "list").out
    assert "The project" in run("keys", "create", "x", "--project", project).err
    assert run("projects", "archive", "default").err == "myna: The default project can't be archived.\n"


def test_limits_are_set_shown_and_taken_away(run: Run) -> None:
    key = _json(run, "keys", "create", "ci")["id"]
    ran = run("limits", "set", "--key", "ci", "--requests-per-minute", "60", "--budget", "12.50")
    assert ran.out == f"{key}: 60 requests/min, $12.50 budget.\n"
    run("limits", "set", "--project", "default", "--model", "tiny", "--concurrent-requests", "4")
    run("limits", "set", "--everyone", "--tokens-per-day", "1000")
    limits = {(limit["owner"], limit["model"]): limit for limit in _json(run, "limits", "list")}
    assert limits[key, ""]["budget_cents"] == 1250
    assert limits["default", "tiny"]["concurrent_requests"] == 4
    assert limits["", ""]["tokens_per_day"] == 1000
    shown = run("limits", "list").out
    assert "$12.50" in shown and "everyone" in shown
    run("limits", "set", "--key", "ci", "--requests-per-minute", "none", "--budget", "none")
    assert (key, "") not in {(limit["owner"], limit["model"]) for limit in _json(run, "limits", "list")}


def test_acts_are_written_down_with_the_machines_user(run: Run, home: Path) -> None:
    run("keys", "create", "ci")
    run("keys", "revoke", "ci")
    owners = run("key", "new").out.strip()
    store = open_stores(f"sqlite:///{home}/myna.db").accounts()
    page = store.events(AuditQuery())
    store.close()
    assert page is not None
    assert [(event.type, event.actor_type, event.address) for event in page.events] == [
        ("api_key.updated", "session", ""),
        ("api_key.deleted", "session", ""),
        ("api_key.created", "session", ""),
        ("project.created", "session", ""),
    ]
    assert page.events[0].actor
    assert owners not in repr(page.events)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("keys", "create", "a\nb"), "control characters"),
        (("keys", "create", "n" * 100_000), "at most 256 characters, not 100000"),
        (("keys", "create", " "), "at least one character"),
        (
            ("keys", "create", "x", "--scope", "ādmin"),
            "There is no scope 'ādmin'; choose from inference, read",
        ),
        (("keys", "create", "x", "--expires", "-5"), "'-5' is not a duration"),
        (("keys", "create", "x", "--expires", "0"), "can't expire in the past"),
        (("keys", "create", "x", "--expires", "999999w"), "more than a hundred years"),
        (
            ("keys", "create", "x", "--project", "nowhere"),
            "There is no project 'nowhere'; see: myna projects",
        ),
        (("keys", "create", "x", "--model", ""), "can't be the name of a model"),
        (("limits", "set", "--key", "nobody", "--tokens-per-day", "5"), "There is no key 'nobody'"),
        (("limits", "set", "--everyone", "--tokens-per-day", "-5"), "'-5' is not a whole number"),
        (("limits", "set", "--everyone", "--tokens-per-day", "0"), "from 1 to"),
        (("limits", "set", "--everyone", "--budget", "1.234"), "not an amount in dollars"),
        (("limits", "set", "--everyone"), "Name a limit to set"),
        (("limits", "set", "--everyone", "--key", "x", "--tokens-per-day", "5"), "one of --key, --project"),
        (("limits", "set", "--tokens-per-day", "5"), "one of --key, --project"),
    ],
)
def test_a_mistake_is_one_sentence(run: Run, arguments: tuple[str, ...], said: str) -> None:
    ran = run(*arguments)
    assert ran.code == 1
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert len(ran.err) < 250
    assert ran.out == ""


def test_two_of_a_name_are_distinguished_by_id(run: Run) -> None:
    run("keys", "create", "ci")
    run("keys", "create", "ci")
    assert (
        run("keys", "revoke", "ci").err == "myna: 2 keys have the name 'ci'; use an id from: myna keys list\n"
    )


def test_a_database_in_memory_keeps_no_keys(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYNA_DATABASE", "memory:")
    assert "keeps everything in the server's memory" in run("keys", "create", "x").err


def test_another_secret_is_noticed_before_a_key_is_made_that_opens_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("keys", "create", "x")
    monkeypatch.setenv("MYNA_SECRET", "another secret, which is long enough too")
    assert "created with another secret; set MYNA_SECRET" in run("keys", "create", "y").err
