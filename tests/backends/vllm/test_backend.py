"""From a folder of safetensors to a worker of vLLM: what is read, what is passed on, what is refused."""

import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.backends.worker.test_backend import Worker
from tests.http.scripted import INFO
from tests.vllm.folders import make_tiny
from tests.workers.vllm.test_adapters import folder_of

from myna.backends.table import open_backends
from myna.backends.vllm import backend as vllm_backend
from myna.backends.vllm.backend import VllmBackend
from myna.catalog.store import local_file
from myna.core.backend import BackendOptions, LocalModel, Section
from myna.core.errors import ConfigurationError, ModelFileError, ModelLoadFailed
from myna.core.finding import State
from myna.scheduling.admission import QueueLimits
from myna.workers.frames import WorkerSpec
from myna.workers.program import WorkerProgram


@dataclass
class Started:
    """A `StartProgram`."""

    fails: bool = False
    asked: list[tuple[WorkerSpec, WorkerProgram]] = field(default_factory=list)

    async def __call__(self, spec: WorkerSpec, limits: QueueLimits, program: WorkerProgram) -> Worker:
        self.asked.append((spec, program))
        if self.fails:
            raise ModelLoadFailed(f"vLLM has no option; {spec.path}")
        return Worker([], info=INFO)


def interpreter(path: Path, version: str) -> Path:
    """Stands for an environment whose vLLM has that version; "" for none."""
    path.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 1\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(scope="module")
def folder(model_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(model_path("smollm2-135m-instruct"), tmp_path_factory.mktemp("models") / "tiny")


def options(home: Path, version: str = "0.32.0+cpu", **more: Any) -> BackendOptions:
    interpreter(home / "python", version)
    return BackendOptions(home, section=Section({"vllm": {"python": "python"}}, home), **more)


async def test_a_draft_model_is_refused(folder: Path, tmp_path: Path) -> None:
    model = local_file(folder)
    backend = VllmBackend(options(tmp_path), Started())
    with pytest.raises(ModelLoadFailed, match="take no draft model; remove the setting draft of 'tiny'"):
        await backend.prepare(replace(model, draft=model))


async def test_a_folder_becomes_a_model_of_vllm(folder: Path, tmp_path: Path) -> None:
    started, model = Started(), local_file(folder)
    more: dict[str, Any] = {"engine_options": {"tiny": {"enforce_eager": True}}, "threads": 3}
    folder_of(tmp_path / "lora", 8)
    more |= {"adapters": {"tiny": {"sql": tmp_path / "lora"}, "other": {"x": tmp_path}}}
    backend = VllmBackend(options(tmp_path, context_tokens=512, **more), started)
    assert backend.accepts(model)
    candidate = await backend.prepare(model)
    assert candidate.size is not None
    assert candidate.size.kv_token_bytes == 2 * 2 * 2 * 32
    loaded = await candidate.load(1 << 20)
    assert loaded.renderer is not None
    assert loaded.renderer.has_chat_template
    assert loaded.weights
    ((spec, program),) = started.asked
    assert (spec.engine, spec.path, spec.context_tokens) == ("vllm", str(folder), 512)
    assert (spec.max_kv_bytes, spec.options) == (1 << 20, {"enforce_eager": True})
    assert spec.adapters == {"sql": str(tmp_path / "lora")}
    assert program.python == str(tmp_path / "python")
    assert program.variables is not None
    assert program.variables["OMP_NUM_THREADS"] == "3"
    assert os.listdir(program.variables["PYTHONPATH"]) == ["myna"]  # noqa: PTH208


async def test_the_worker_gets_vllms_variables_and_no_secrets(tmp_path: Path) -> None:
    environment = VllmBackend(options(tmp_path))._environment
    environ = {"VLLM_LOGGING_LEVEL": "DEBUG", "HF_TOKEN": "hf_x", "VLLM_API_KEY": "y", "OPENAI_API_KEY": "z"}
    variables = environment.program(0, environ).variables
    assert variables is not None
    assert variables["VLLM_LOGGING_LEVEL"] == "DEBUG"
    assert (environment.program(0, {}).variables or {})["VLLM_LOGGING_LEVEL"] == "WARNING"
    assert not {"HF_TOKEN", "VLLM_API_KEY", "OPENAI_API_KEY", "OMP_NUM_THREADS"} & set(variables)


async def test_a_gpus_memory_is_not_this_machines(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_backend, "has_gpu", lambda: True)
    candidate = await VllmBackend(options(tmp_path, "0.32.0"), Started()).prepare(local_file(folder))
    assert candidate.size is None


@pytest.mark.parametrize(
    ("version", "reason"),
    [("0.32.0", "needs a GPU"), ("", "has no vLLM"), (None, "myna engines install vllm")],
)
async def test_what_is_missing_is_named(
    version: str | None, reason: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_backend, "has_gpu", lambda: False)
    chosen = BackendOptions(tmp_path) if version is None else options(tmp_path, version)
    with pytest.raises(ModelLoadFailed, match=reason):
        await VllmBackend(chosen, Started()).prepare(local_file(folder))


async def test_a_type_of_kv_cache_that_vllm_does_not_have_is_refused(folder: Path, tmp_path: Path) -> None:
    backend = VllmBackend(options(tmp_path, "0.32.0", kv_cache_type="q8_0"), Started())
    with pytest.raises(ModelLoadFailed, match="no KV cache of the type q8_0; set kv_cache_type"):
        await backend.prepare(local_file(folder))


async def test_a_folder_that_is_not_whole_and_a_file_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    backend = VllmBackend(options(tmp_path, engine="vllm"), Started())
    for path, reason in (
        (tmp_path / "empty", "no .safetensors files"),
        (tmp_path / "python", "is a GGUF file"),
    ):
        model = LocalModel("bird", path, "user", 0, 1, "file")
        assert backend.accepts(model)
        with pytest.raises(ModelLoadFailed, match=reason) as caught:
            await backend.prepare(model)
        assert str(tmp_path) not in caught.value.message, "where it is, is not for clients"


def _cut(path: Path, to_bytes: int = 100) -> None:
    os.truncate(path / "model.safetensors", to_bytes)


def _cut_tensors(path: Path) -> None:
    _cut(path, (path / "model.safetensors").stat().st_size - 1)


def _point(path: Path) -> None:
    (path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 6441824\n")


def _name_another(path: Path) -> None:
    names = {"a": "model.safetensors", "b": "model-2.safetensors"}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_cut, "model.safetensors is not a safetensors file, or incomplete; download it again"),
        (_cut_tensors, r"model.safetensors is incomplete, \d+ of \d+ bytes; download it again"),
        (_point, "model.safetensors only says where Git LFS has the file; .*: git lfs pull"),
        (_name_another, "model-2.safetensors is not there"),
        (lambda path: (path / "tokenizer.json").unlink(), "no tokenizer.json, which .*save_pretrained"),
    ],
    ids=["header", "tensors", "lfs", "shard", "tokenizer"],
)
async def test_a_folder_with_damaged_or_missing_files_is_refused_before_vllm_starts(
    damage: Callable[[Path], None], reason: str, folder: Path, tmp_path: Path
) -> None:
    path = shutil.copytree(folder, tmp_path / "damaged")
    damage(path)
    with pytest.raises(ModelLoadFailed, match=reason):
        await VllmBackend(options(tmp_path), Started()).prepare(local_file(path))


async def test_an_adapter_that_is_not_there_is_named_before_vllm_starts(folder: Path, tmp_path: Path) -> None:
    chosen = options(tmp_path, adapters={"tiny": {"tiny-sql": tmp_path / "nothing"}})
    with pytest.raises(ModelLoadFailed, match="'tiny-sql' can't be loaded: its folder is not there"):
        await VllmBackend(chosen, Started()).prepare(local_file(folder))


async def test_a_worker_that_does_not_start_is_an_error_without_the_path(
    folder: Path, tmp_path: Path
) -> None:
    candidate = await VllmBackend(options(tmp_path), Started(fails=True)).prepare(local_file(folder))
    with pytest.raises(ModelLoadFailed, match="no option; 'tiny'"):
        await candidate.load(0)


def test_the_engine_decides_who_runs_folders(folder: Path, tmp_path: Path) -> None:
    model = local_file(folder)
    for engine, wanted in (("auto", "vllm"), ("vllm", "vllm"), ("native", "worker")):
        backends = open_backends(BackendOptions(tmp_path, engine), {})
        assert next(name for name, one in backends.opened.items() if one.accepts(model)) == wanted


async def test_other_engines_say_who_runs_folders(folder: Path, tmp_path: Path) -> None:
    backends = open_backends(BackendOptions(tmp_path, "llamacpp"), {})
    with pytest.raises(ModelLoadFailed, match="choose the engine auto or vllm"):
        await backends.prepare(local_file(folder))


def test_only_a_missing_engine_that_is_wanted_is_wrong(tmp_path: Path) -> None:
    def states(chosen: BackendOptions) -> list[State]:
        return [finding.state for finding in VllmBackend(chosen).findings()]

    assert states(BackendOptions(tmp_path / "nothing", "vllm")) == ["wrong"]
    assert "wrong" not in states(BackendOptions(tmp_path / "nothing"))
    assert states(options(tmp_path)) == ["ok"]
    assert states(options(tmp_path, "")) == ["wrong"]
    with pytest.raises(ConfigurationError, match="engines install"):
        VllmBackend(BackendOptions(tmp_path / "nothing", "vllm")).check()


@pytest.mark.parametrize("values", [{"vlm": {}}, {"vllm": {"pythn": "x"}}, {"vllm": 3}])
def test_a_wrong_section_is_refused(values: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="engines"):
        VllmBackend(BackendOptions(tmp_path, section=Section(values, tmp_path)))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"config\.json"):
        local_file(tmp_path)
