"""`myna doctor`: what it finds wrong, with what to do, and its exit code. No network is asked."""

import hashlib
import json
import socket
import sqlite3
import struct
from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Event

import pytest
from tests.catalog.catalogs import catalog_bytes, model
from tests.cli.conftest import Run

from myna.backends import table
from myna.backends.table import BackendRow
from myna.backends.worker import findings as engines_chapter
from myna.backends.worker.findings import engine_findings
from myna.catalog.catalog_file import catalog_path
from myna.catalog.memory import Memory
from myna.catalog.partial import SilentProgress
from myna.catalog.store import ModelStore, PulledRecord
from myna.cli.doctor import environment, machine
from myna.cli.doctor import models as models_chapter
from myna.core.errors import DownloadFailed
from myna.core.finding import Finding
from myna.engines.registry import ENGINES, is_installed
from myna.setting_values import AliasSetting, ModelSetting
from myna.settings import Settings


class Answering:
    """A source that has the file, or says why not."""

    def __init__(self, why_not: str = "") -> None:
        self.why_not = why_not

    def ask(self, timeout_s: float) -> None:
        if self.why_not:
            raise DownloadFailed(self.why_not)


@pytest.fixture(autouse=True)
def sources(monkeypatch: pytest.MonkeyPatch) -> Answering:
    source = Answering()
    monkeypatch.setattr(environment, "open_source", lambda wanted: source)
    return source


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Settings(home=tmp_path / "home", port=probe.getsockname()[1])


def states(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.state, str(finding.text)) for finding in findings]


def faults(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.state != "ok"]


def test_a_suitable_machine_is_reported(run: Run) -> None:
    ran = run("doctor", "--quick")
    assert ran.code == 0
    assert ran.out.endswith("No problems found.\n")
    assert (
        "! There is no model on this machine yet.\n    → Download the default model with: myna pull\n"
        in ran.out
    )


def test_what_is_wrong_has_a_remedy_and_an_exit_code(run: Run, home: Path) -> None:
    run("key")
    (home / "key").chmod(0o644)
    ran = run("doctor", "--quick")
    assert ran.code == 1
    assert f"Others may read the key file {home / 'key'}. Protect it with: chmod 600" in ran.out
    assert ran.out.endswith("Problems: 1. What to do is shown below each.\n")


def test_a_script_gets_every_finding(run: Run, home: Path) -> None:
    home.mkdir(parents=True)
    (home / "myna.db").write_bytes(b"not a database at all" * 99)
    ran = run("doctor", "--json")
    assert ran.code == 1
    rows = json.loads(ran.out)
    assert {row["chapter"] for row in rows} >= {"Processor", "Memory", "Engines", "Models", "Port"}
    wrong = [row for row in rows if row["state"] == "wrong"]
    assert {row["chapter"] for row in wrong} == {"Database"}  # readable by others, and damaged
    assert all(row["remedy"] for row in rows if row["state"] != "ok")


def test_it_speaks_the_locale_s_language(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    ran = run("doctor", "--quick")
    assert "本机还没有模型" in ran.out
    assert "没有发现问题。" in ran.out


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("prot = 1", "did you mean port?"),
        ("port = 70000", "a whole number from 0 to 65535"),
        ('no_auth = true\nhost = "0.0.0.0"', "--no-auth would open 0.0.0.0"),
    ],
)
def test_a_wrong_configuration_is_the_first_finding(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toml: str, said: str
) -> None:
    (tmp_path / "bird.toml").write_text(toml)
    monkeypatch.setenv("MYNA_CONFIG", str(tmp_path / "bird.toml"))
    ran = run("doctor", "--quick", "--json")
    assert ran.code == 1
    first = json.loads(ran.out)[0]
    assert (first["chapter"], first["state"]) == ("Configuration", "wrong")
    assert said in first["text"]


# --- machine ---


def cpu(root: Path, flags: str, quota: str = "max 100000") -> Path:
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(f"processor: 0\nmodel name\t: Bird 9000\nflags\t\t: {flags}\n")
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text(quota)
    return root


def test_the_processor_s_useful_instructions_are_named(tmp_path: Path) -> None:
    found = states(machine.processor(cpu(tmp_path, "fpu sse2 avx2 fma avx512_vnni")))
    assert found[0][1].startswith("Bird 9000: ")
    assert ("ok", "Instruction sets for arithmetic: avx2, fma, avx512_vnni.") in found


def test_a_processor_without_them_and_a_tight_group_are_reported(tmp_path: Path) -> None:
    slow, tight = faults(machine.processor(cpu(tmp_path, "fpu sse2", "50000 100000")))
    assert "none of the instruction sets" in str(slow.text)
    assert "allows 0.5 processors" in str(tight.text)
    assert "threads = 1" in str(tight.remedy)


def test_too_little_memory_for_the_default_model_is_wrong(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "read_memory", lambda: Memory(400_000_000, 300_000_000))
    limited, short = machine.memory(settings)
    assert str(limited.text).startswith("The control group allows 400 MB of ")
    assert (short.state, str(short.text)) == ("wrong", "300 MB are free, and the default model needs 592 MB.")
    assert faults(machine.memory(replace(settings, engine="fake"))) == []


def test_a_full_or_closed_disk_is_wrong(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 1_000_000}))
    (full,) = machine.disk(settings)
    assert (full.state, "1 MB free" in str(full.text)) == ("wrong", True)
    monkeypatch.setattr("os.access", lambda place, mode: False)
    (closed,) = machine.disk(settings)
    assert str(closed.text).endswith("can't be written to.")


# --- engines ---


def test_each_engine_promises_what_it_keeps() -> None:
    kept = {"fake": "FakeEngine", "llamacpp": "LlamaCppEngine", "native": "NativeEngine"}
    for name, kind in kept.items():
        if is_installed(name):
            engine = getattr(import_module(f"myna.engines.{name}"), kind)
            word = engine.__new__(engine).is_batch_invariant  # it needs no model to say so
            assert word is ENGINES[name].is_batch_invariant


def test_why_an_engine_runs_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines_chapter, "engines_to_try", lambda wanted: ["llamacpp"])
    found = list(engine_findings(settings.engine))
    assert str(found[0].text) == "llamacpp runs every model, because no other engine is installed."
    assert [str(fault.text) for fault in faults(found)] == [
        "Myna's own engine was not built in this installation."
    ]
    found = list(engine_findings("llamacpp"))
    assert str(found[0].text) == "llamacpp runs every model, because the setting engine names it."
    assert faults(found) == []


def test_the_version_of_another_project_s_engine_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines_chapter, "is_installed", lambda name: True)
    monkeypatch.setattr(engines_chapter, "version", lambda distribution: f"9 of {distribution}")
    texts = [str(finding.text) for finding in engine_findings("native")]
    assert any(
        text.startswith("llamacpp 9 of llama-cpp-python is installed. It is not batch") for text in texts
    )
    assert any(text.startswith("native is installed. It is batch") for text in texts)


def test_a_backend_that_is_added_to_the_table_is_looked_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(table.BACKENDS, "far", BackendRow("tests.backends.stand_in:Elsewhere", ("far",)))
    rows = json.loads(run("doctor", "--quick", "--json").out)
    engines = [row["text"] for row in rows if row["chapter"] == "Engines"]
    assert engines[-1] == "elsewhere answers."
    assert len(engines) > 1


def test_a_processor_named_by_the_user_is_reported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYNA_CPU", "avx2")
    (fault,) = faults(engine_findings("native"))
    assert "as set by MYNA_CPU" in str(fault.text)


# --- models ---


def look(settings: Settings, *, is_quick: bool = False) -> list[Finding]:
    return list(
        models_chapter.models(settings, is_quick=is_quick, watch=lambda: nullcontext(SilentProgress()))
    )


def test_a_model_s_bytes_are_compared_with_its_publisher_s(settings: Settings) -> None:
    data = b"GGUF" + bytes(range(256)) * 4
    settings.home.mkdir()
    listed = model("bird-1b", bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    catalog_path(settings.home).write_bytes(catalog_bytes(listed))
    store = ModelStore.at(settings.home)
    (entry,) = store.catalog.entries
    path = store.path_of(entry)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    assert str(look(settings)[0].text).endswith("and its hash is correct.")
    path.write_bytes(data[:-1] + b"x")
    assert faults(look(settings, is_quick=True)) == []
    (bad,) = faults(look(settings))
    assert (bad.state, str(bad.text)) == ("wrong", f"{entry.id} differs from its publisher's file.")
    path.write_bytes(data[:-1])
    short, none_left = faults(look(settings))
    assert (short.state, f"myna pull {entry.id}" in str(short.remedy)) == ("wrong", True)
    assert str(none_left.text) == "There is no model on this machine yet."


def test_a_catalog_that_is_not_used_is_reported(settings: Settings) -> None:
    settings.home.mkdir()
    catalog_path(settings.home).write_bytes(b"{")
    broken, _ = faults(look(settings))
    assert "is not used: This is not a valid catalog" in str(broken.text)
    assert "myna catalog reset" in str(broken.remedy)


def test_other_files_are_looked_at_too(settings: Settings, tmp_path: Path) -> None:
    store = ModelStore(settings.home / "models")
    (store.folder / ".partial" / "bird").mkdir(parents=True)
    (store.folder / ".partial" / "bird" / "file").write_bytes(bytes(1000))
    (store.folder / "page.gguf").write_text("<html>")
    store.write(PulledRecord("org/bird:Q4_0", ("page.gguf",), "org", 7, "hf:org/bird:Q4_0"))
    settings = replace(settings, models=(ModelSetting("mine", tmp_path / "nothing.gguf"),))
    no_gguf, no_file, left = faults(look(settings))
    assert "is not a GGUF file" in str(no_gguf.text)
    assert "myna pull hf:org/bird:Q4_0" in str(no_gguf.remedy)
    assert str(no_file.text) == f"There is no file {tmp_path / 'nothing.gguf'}."
    assert str(left.text).endswith(": bird.")


def test_a_folder_s_weights_and_adapters_are_looked_at(settings: Settings, tmp_path: Path) -> None:
    for name, weights in (("cut", b"\x10"), ("whole", struct.pack("<Q", 2) + b"{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(weights)
    adapter = AliasSetting("whole-sql", "whole", "alias", adapter=tmp_path / "none")
    models = tuple(ModelSetting(name, tmp_path / name) for name in ("cut", "whole"))
    assert len(faults(look(replace(settings, models=models)))) == 1
    cut, whole = faults(look(replace(settings, models=models, aliases=(adapter,))))
    assert str(cut.text).endswith(
        "model.safetensors is not a safetensors file, or incomplete; download it again."
    )
    assert "'whole-sql' can't be loaded: its folder is not there" in str(whole.text)
    assert "Correct whole in myna.toml" in str(whole.remedy)


# --- what lies around ---


def test_no_source_is_wrong_only_where_one_is_needed(
    settings: Settings, sources: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faults(environment.sources(settings)) == []
    sources.why_not = "it is asleep"
    found = list(environment.sources(settings))
    assert {finding.state for finding in found} == {"wrong"}
    assert "huggingface can't be used: it is asleep" in str(found[0].text)
    monkeypatch.setattr(ModelStore, "has", lambda store, entry: True)
    assert {finding.state for finding in environment.sources(settings)} == {"advice"}


def test_a_source_that_never_answers_is_not_waited_for(
    settings: Settings, sources: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "ANSWER_S", -1.0)  # as if its time were over
    monkeypatch.setattr(sources, "ask", lambda timeout_s: Event().wait(60))
    found = list(environment.sources(settings))
    assert {str(finding.text).partition(": ")[2] for finding in found} == {"it does not answer"}


def test_a_port_that_another_program_has_is_wrong(settings: Settings) -> None:
    assert states(environment.port(settings)) == [("ok", f"127.0.0.1:{settings.port} is free.")]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.port))
        taken.listen()
        (fault,) = environment.port(settings)
    assert (fault.state, str(fault.text)) == (
        "wrong",
        f"Another program is listening on 127.0.0.1:{settings.port}.",
    )
    assert states(environment.port(replace(settings, port=0)))[0][0] == "ok"
    (fault,) = environment.port(replace(settings, host="192.0.2.1"))
    assert fault.state == "wrong"


def test_what_others_may_read_is_wrong(settings: Settings) -> None:
    settings.home.mkdir()
    for name in ("secret", "chat_history"):
        (settings.home / name).write_text("x")
        (settings.home / name).chmod(0o640)
    found = faults(environment.secrets(settings))
    assert [str(fault.remedy) for fault in found] == [
        f"Restrict it with: chmod 600 {settings.home / name}" for name in ("secret", "chat_history")
    ]


def test_a_database_is_read_and_never_changed(settings: Settings) -> None:
    assert states(environment.database(settings))[0][0] == "ok"
    settings.home.mkdir()
    path = settings.home / "myna.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bird (name TEXT)")
    path.chmod(0o600)
    before = path.read_bytes()
    assert states(environment.database(settings)) == [("ok", f"The database {path} is intact.")]
    assert path.read_bytes() == before
    path.write_bytes(before[:1000] + b"\xff" * 3000)
    (damaged,) = environment.database(settings)
    assert (damaged.state, "is damaged" in str(damaged.text)) == ("wrong", True)
    other = replace(settings, database="postgresql://bird@127.0.0.1/x")
    assert states(environment.database(other))[0][1].startswith("The database is postgresql;")


@pytest.mark.parametrize(
    ("lacking", "found"),
    [
        (
            (),
            (
                "ok",
                "The processes that read model files and run templates are confined by Landlock and seccomp.",
            ),
        ),
        (
            ("Landlock", "seccomp"),
            (
                "advice",
                "The processes that read model files and run templates are not confined by Landlock or "
                "seccomp, which this system doesn't have.",
            ),
        ),
    ],
)
def test_says_what_does_not_confine_workers(
    monkeypatch: pytest.MonkeyPatch, lacking: tuple[str, ...], found: tuple[str, str]
) -> None:
    monkeypatch.setattr(machine, "missing", lambda: lacking)
    assert states(machine.confinement()) == [found]
