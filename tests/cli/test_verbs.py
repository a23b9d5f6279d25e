"""The verbs: what they print, what `--json` gives a script, and errors of one sentence."""

import json
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.prompts.gguf_files import tiny

from myna.catalog.store import ModelStore, PulledRecord

VERBS = ["serve", "pull", "models", "rm", "chat", "complete", "key", "doctor"]


def put_model(home: Path, model: str = "org/bird:Q4_0") -> Path:
    store = ModelStore(home / "models")
    store.folder.mkdir(parents=True)
    (store.folder / "bird.gguf").write_bytes(b"GGUF" + bytes(96))
    store.write(PulledRecord(model, ("bird.gguf",), "org", 7, f"hf:{model}"))
    return store.folder / "bird.gguf"


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches_by_examples(run: Run, verb: str) -> None:
    ran = run(verb, "--help")
    assert ran.code == 0
    assert "Example" in ran.out
    assert f"myna {verb}" in ran.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has such a device")
def test_output_to_a_full_disk_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "myna.cli", "--version"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ran.returncode == 1
    assert ran.stderr.startswith("myna: The disk is full")
    assert ran.stderr.count("\n") <= 2


def test_the_catalog_is_listed_for_people_and_for_scripts(run: Run) -> None:
    listed = run("models", "--available")
    assert "qwen3-4b" in listed.out
    assert "the best choice for" in listed.out
    assert "tokens per second" in listed.err
    rows = {row["id"]: row for row in json.loads(run("models", "--available", "--json").out)}
    assert rows["smollm2-135m-instruct"]["here"] is False
    assert rows["qwen3-30b-a3b"]["tokens_per_s"] > rows["qwen3-32b"]["tokens_per_s"]
    assert [purpose for row in rows.values() for purpose in row["best_for"]]


def test_without_models_the_next_step_is_named(run: Run) -> None:
    assert run("models").err.startswith("There is no model on this machine yet.")
    assert json.loads(run("models", "--json").out) == []
    assert "one of --available and --found" in run("models", "--available", "--found").err


def test_the_models_of_other_programs_are_listed(run: Run, user: Path) -> None:
    assert "have no model in this user's folders" in run("models", "--found").err
    other = user / ".lmstudio/models/org/Bird-GGUF/bird-Q4_0.gguf"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"GGUF" + bytes(96))
    assert "lm-studio" in run("models", "--found").out
    (row,) = json.loads(run("models", "--found", "--json").out)
    assert (row["id"], row["path"], row["bytes"]) == ("bird-Q4_0", str(other), 100)
    assert json.loads(run("pull", "bird-Q4_0", "--json").out)[0]["path"] == str(other)


def test_the_sampling_defaults_of_models_are_listed(run: Run, home: Path, tmp_path: Path) -> None:
    folder = home / "models"
    put_model(home)
    tiny(folder, general__sampling__temp=0.5).rename(folder / "bird.gguf")
    (tmp_path / "myna").mkdir()
    (tmp_path / "myna" / "myna.toml").write_text(
        '[defaults]\n"org/bird:Q4_0" = { top_k = 3 }', encoding="utf-8"
    )
    found = {row["id"]: row["sampling"] for row in json.loads(run("models", "--json").out)}
    assert found["org/bird:Q4_0"] == {"temperature": 0.5, "top_k": 3}
    assert "temperature 0.5, top_k 3" in run("models").out


def test_a_pulled_model_is_listed_and_removed(run: Run, home: Path) -> None:
    path = put_model(home)
    rows = json.loads(run("models", "--json").out)
    assert rows[-1]["id"] == "org/bird:Q4_0"
    assert rows[-1]["path"] == str(path)
    assert run("rm", "org/bird:Q4_0").err.endswith("confirm with --yes.\n")
    assert run("rm", "org/bird:Q4_0", "--yes").out == "Deleted org/bird:Q4_0.\n"
    assert list((home / "models").glob("*.*")) == []


def test_what_is_here_is_not_pulled_again(run: Run, home: Path) -> None:
    put_model(home)
    assert json.loads(run("pull", "hf:org/bird:Q4_0", "--json").out)[0]["bytes"] == 100


def test_the_key_is_made_once_and_only_its_owner_can_read_it(run: Run, home: Path) -> None:
    first, second = run("key").out, run("key", "--json").out
    assert json.loads(second)["key"] == first.strip()
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert run("key", "new").out != first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pull", "smollm2-135-instruct"), "did you mean 'smollm2-135m-instruct'?"),
        (("rm", "bird"), "'bird' is not on this machine, nor is any other model."),
        (("serve", "./nothing.gguf", "--port", "0"), "There is no file nothing.gguf."),
        (("serve", "--engine", "warp"), "one of auto, native"),
        (("serve", "--engine", "fake", "--port", "70000"), "whole number from 0 to 65535"),
        (
            ("serve", "--engine", "fake", "--no-auth", "--host", "0.0.0.0"),
            "--host 127.0.0.1, or keep the key",
        ),
        (("serve", "--engine", "fake", "--host", "192.0.2.1", "--port", "0"), "Can't listen on 192.0.2.1:0"),
        (("complete",), "There is no text to continue"),
        (("complete", "x", "--base-url", "localhost"), "is not a base URL"),
        (("complete", "x", "--base-url", "http://127.0.0.1:9/v1", "-m", "bird"), "Can't reach"),
        (("complete", "x", "--base-url", "http://127.0.0.1:9/v1"), "Can't reach"),
    ],
)
def test_an_error_is_one_sentence_that_helps(run: Run, arguments: tuple[str, ...], said: str) -> None:
    ran = run(*arguments)
    assert ran.code == 1
    assert said in ran.err
    assert ran.err.startswith("myna: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [("key",), ("key", "link"), ("serve", "--engine", "fake", "--port", "0"), ("keys", "create", "CI")],
)
def test_a_home_that_cannot_be_made_is_one_sentence_that_helps(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MYNA_HOME", str(tmp_path / "file" / "home"))
    ran = run(*arguments)
    assert ran.code == 1
    assert ran.err.startswith("myna: ")
    assert "set MYNA_HOME to a folder that you may write to" in ran.err or "No server is running" in ran.err
    assert ran.err.count("\n") == 1


def test_a_file_that_is_not_a_model_is_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>")
    assert "is not a GGUF file" in run("serve", str(tmp_path / "page.gguf"), "--port", "0").err


def test_a_taken_port_is_reported_before_anything_is_loaded(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run("serve", "--engine", "fake", "--port", str(port))
    assert f"already listening on 127.0.0.1:{port}" in ran.err
    assert "--port" in ran.err


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[aliases]\nx = "nothing"', "refers to 'nothing', which is not on this machine"),
        ('[aliases]\nfake = "fake"', "has the name of a model"),
        ('model = "bird"\n[models]\nbird = "nothing.gguf"', "There is no file"),
        ("prot = 1", "did you mean port?"),
    ],
)
def test_a_contradictory_configuration_is_reported(
    run: Run, tmp_path: Path, toml: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bird.toml").write_text(toml)
    monkeypatch.setenv("MYNA_CONFIG", str(tmp_path / "bird.toml"))
    assert said in run("serve", "--engine", "fake", "--port", "0").err


def test_a_completion_without_a_server_loads_the_model_itself(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYNA_ENGINE", "fake")
    monkeypatch.setenv("MYNA_PORT", "9")
    ran = run("complete", "--json", stdin="[[say one two three]]")
    assert json.loads(ran.out) == {"prompt": "[[say one two three]]", "text": "one two three"}


def test_the_version_is_shown(run: Run) -> None:
    assert run("--version").out.startswith("myna 0.")


def test_no_verb_waits_for_what_another_imports() -> None:
    """The libraries that take long to import; each is imported by the verbs that use it, when they do."""
    slow = ["uvicorn", "starlette", "sqlalchemy", "numpy", "tokenizers", "jinja2", "prompt_toolkit", "openai"]
    slow += ["huggingface_hub", "markdown_it", "pygments"]
    script = f"import myna.cli.root, sys; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
