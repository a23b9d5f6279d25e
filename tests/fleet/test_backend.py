"""The backend before a cluster is joined: what it announces, and which models are its own."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.vllm.folders import make_tiny

from myna.backends.table import open_backends
from myna.core.backend import BackendOptions, LocalModel, Section
from myna.core.errors import ConfigurationError, ModelLoadFailed
from myna.fleet.backend import FleetBackend
from myna.fleet.config import ReplicaSpec
from myna.fleet.model_head import ModelHead, decode_head, encode_head
from myna.fleet.node import start_replica
from myna.prompts.folder_text import FolderText
from myna.prompts.gguf import read_header


def options(home: Path, **models: Any) -> BackendOptions:
    return BackendOptions(home, section=Section({"models": models}, home))


def local(id: str) -> LocalModel:
    return LocalModel(id, Path("x.gguf"), "me", 1, 2, "file")


def test_it_announces_what_the_settings_say(tmp_path: Path) -> None:
    backend = FleetBackend(options(tmp_path, a={}, b={"replicas": 2}))
    before = backend.announced()
    assert [model.id for model in before] == ["a", "b"]
    assert backend.may_announce("a")
    assert not backend.may_announce("c")
    backend.change(options(tmp_path, b={}, c={}))
    assert [model.id for model in backend.announced()] == ["b", "c"]
    assert backend.announced()[0] == before[1]


def test_a_model_whose_file_is_here_too_runs_on_the_fleet(tmp_path: Path) -> None:
    section = Section({"models": {"a": {}}}, tmp_path)
    backends = open_backends(BackendOptions(tmp_path, engine="fake"), {"fleet": section})
    fleet, worker = backends.opened["fleet"], backends.opened["worker"]
    assert next(iter(backends.opened.values())) is fleet
    assert fleet.accepts(local("a"))
    assert not fleet.accepts(local("b"))
    assert worker.accepts(local("b"))


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myna.fleet.backend.find_spec", lambda name: None)
    backend = FleetBackend(options(tmp_path))
    with pytest.raises(ConfigurationError, match=r"pip install .*\[fleet\]"):
        backend.check()
    assert not any(finding.is_ok for finding in backend.findings() if hasattr(finding, "is_ok"))


def test_a_server_reads_a_header_without_the_weights(tmp_path: Path, model_path: Any) -> None:
    path = model_path("smollm2-135m-instruct")
    data = encode_head(ModelHead.read(path))
    assert len(data) < 4 << 20
    here = decode_head(data).write(tmp_path / "fleet", "hash")
    assert read_header(here).metadata.keys() == read_header(path).metadata.keys()
    assert here.stat().st_size == path.stat().st_size
    assert here.stat().st_blocks * 512 < 8 << 20
    assert decode_head(data).write(tmp_path / "fleet", "hash") == here
    assert list((tmp_path / "fleet").iterdir()) == [here]
    assert ModelHead.read(tmp_path / "none.gguf") == ModelHead()


def test_a_server_renders_with_the_texts_of_a_folder(tmp_path: Path, model_path: Any) -> None:
    """Of vLLM's models: the same tokens without the weights."""
    there = make_tiny(model_path("smollm2-135m-instruct"), tmp_path / "tiny")
    tools = there / "additional_chat_templates" / "tool_use.jinja"
    tools.parent.mkdir()
    tools.write_text("{{ tools }}")
    here = decode_head(encode_head(ModelHead.read(there))).write(tmp_path / "fleet", "hash")
    assert not list(here.glob("*.safetensors"))
    assert (here / "additional_chat_templates" / "tool_use.jinja").read_text() == "{{ tools }}"
    theirs, ours = FolderText.read(there), FolderText.read(here)
    text = "a bird <|im_end|> 7"
    assert ours.tokenizer.encode(text, parse_special=True) == theirs.tokenizer.encode(
        text, parse_special=True
    )


async def test_a_folder_needs_vllm(tmp_path: Path, model_path: Any) -> None:
    folder = make_tiny(model_path("smollm2-135m-instruct"), tmp_path / "tiny")
    spec = ReplicaSpec("m", str(folder), "auto", str(tmp_path), vllm_python=str(tmp_path / "none"))
    with pytest.raises(ModelLoadFailed, match="myna engines install vllm"):
        await start_replica(spec, "r", "here")


async def test_a_replica_knows_its_weights_and_arithmetic(model_path: Any, tmp_path: Path) -> None:
    path = model_path("smollm2-135m-instruct")
    spec = ReplicaSpec("m", str(path), "native", str(tmp_path), 256, 64 << 20, 1)
    replica = await start_replica(spec, "r", "here")
    try:
        description = replica.description
        assert description.weights in description.identity
        assert description.info.arithmetic in description.identity
    finally:
        await replica.aclose()
    await asyncio.sleep(0)
    assert not replica.is_alive
