"""Models of other programs, in folders as these programs write them and as an attacker might."""

import json
import os
from pathlib import Path

import pytest

from myna.catalog import discovery
from myna.catalog.discovery import FoundModel, find_models
from myna.catalog.lookup import find_local, wanted_model
from myna.catalog.store import ModelStore
from myna.core.errors import ModelNotFound

WEIGHTS = b"GGUF" + bytes(96)
SHA = "ab" * 32


def put(path: Path, data: bytes = WEIGHTS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def put_ollama(user: Path, place: str, *layers: tuple[str, str], sha256: str = SHA) -> Path:
    kinds = {"model": f"sha256:{sha256}"} | dict(layers)
    manifest = {
        "layers": [
            {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest}
            for kind, digest in kinds.items()
        ]
    }
    put(user / ".ollama/models/manifests" / place, json.dumps(manifest).encode())
    return put(user / f".ollama/models/blobs/sha256-{sha256}")


def put_hub(user: Path, repository: str, *names: str, sha256: str = SHA) -> Path:
    folder = user / ".cache/huggingface/hub" / f"models--{repository.replace('/', '--')}"
    blob = put(folder / "blobs" / sha256)
    snapshot = folder / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in names:
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def found_in(user: Path, **environ: str) -> list[FoundModel]:
    return [model for model in find_models(environ, user) if model.path.is_relative_to(user)]


def ids(user: Path, **environ: str) -> list[str]:
    return [model.id for model in found_in(user, **environ)]


def test_ollama_s_models_are_its_blobs_under_its_names(tmp_path: Path) -> None:
    blob = put_ollama(tmp_path, "registry.example/library/bird/4b", ("template", "sha256:" + "0" * 64))
    put_ollama(tmp_path, "registry.example/me/bird/latest", sha256="cd" * 32)
    put_ollama(tmp_path, "hf.co/org/Bird-GGUF/Q4_K_M", sha256="ef" * 32)
    own, hub, mine = found_in(tmp_path)
    assert (own.id, own.path, own.sha256, own.num_bytes) == ("bird:4b", blob, SHA, 100)
    assert (hub.id, hub.repository) == ("hf.co/org/Bird-GGUF:Q4_K_M", "org/Bird-GGUF")
    assert (mine.id, mine.repository) == ("me/bird:latest", "")
    moved = tmp_path / "moved"
    (tmp_path / ".ollama/models").rename(moved)
    assert ids(tmp_path) == []
    assert ids(tmp_path, OLLAMA_MODELS=str(moved)) == [own.id, hub.id, mine.id]


def test_lm_studio_s_and_llama_cpp_s_files_are_found(tmp_path: Path) -> None:
    put(tmp_path / ".lmstudio/models/org/Bird-GGUF/bird-Q4_K_M.gguf")
    put(tmp_path / ".lmstudio/models/org/Bird-GGUF/mmproj-bird-F16.gguf")
    put(tmp_path / ".cache/llama.cpp/org_Bird-GGUF_bird-Q8_0.gguf")
    put(tmp_path / ".cache/llama.cpp/manifest=org=Bird.json")
    assert [(model.program, model.id, model.repository) for model in found_in(tmp_path)] == [
        ("llama.cpp", "org_Bird-GGUF_bird-Q8_0", ""),
        ("lm-studio", "bird-Q4_K_M", "org/Bird-GGUF"),
    ]


def test_the_hub_s_cache_names_repository_and_hash(tmp_path: Path) -> None:
    put_hub(tmp_path, "org/Bird-GGUF", "bird-Q4_K_M.gguf", "config.json")
    (model,) = found_in(tmp_path)
    assert (model.id, model.sha256) == ("org/Bird-GGUF:bird-Q4_K_M.gguf", SHA)
    assert ids(tmp_path, HF_HOME=str(tmp_path / "none")) == []


def test_a_split_model_is_one_if_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / ".lmstudio/models/org/Bird-GGUF"
    put(folder / "bird-00001-of-00002.gguf")
    assert ids(tmp_path) == []
    put(folder / "bird-00002-of-00002.gguf")
    (model,) = found_in(tmp_path)
    assert (model.id, model.num_bytes, model.path.name) == ("bird", 200, "bird-00001-of-00002.gguf")


def test_two_models_of_one_name_are_distinguished(tmp_path: Path) -> None:
    put(tmp_path / ".lmstudio/models/org/Bird-GGUF/bird.gguf")
    put(tmp_path / ".cache/llama.cpp/bird.gguf")
    assert ids(tmp_path) == ["llama.cpp/bird", "bird"]


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"layers": 7}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../x"}]}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:'
        + b"0" * 64
        + b'"}]}',
        b'{"layers": [' + b'{"mediaType": "x"},' * 100_000 + b"{}]}",
        b"[" * 100_000,
        b'{"layers": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_broken_manifest_is_skipped(tmp_path: Path, manifest: bytes) -> None:
    put_ollama(tmp_path, "registry.example/library/bird/4b")
    put(tmp_path / ".ollama/models/manifests/registry.example/library/bad/1b", manifest)
    assert ids(tmp_path) == ["bird:4b"]


@pytest.mark.parametrize(
    "name", [b"\x1b[31mred.gguf", b"two\nlines.gguf", b"\xff.gguf", b"\xe2\x80\xae.gguf"]
)
def test_a_file_whose_name_can_t_be_shown_is_skipped(tmp_path: Path, name: bytes) -> None:
    folder = tmp_path / ".lmstudio/models/org/Bird-GGUF"
    put(folder / os.fsdecode(name))
    put(folder / "bird.gguf")
    assert ids(tmp_path) == ["bird"]


def test_a_model_with_an_adapter_is_not_offered_without_it(tmp_path: Path) -> None:
    put_ollama(tmp_path, "registry.example/library/bird/4b", ("adapter", "sha256:" + "0" * 64))
    assert ids(tmp_path) == []


def test_nothing_but_regular_model_files_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / ".lmstudio/models/org/x"
    put(folder / "page.gguf", b"<html>")
    put(folder / "empty.gguf", b"")
    os.mkfifo(folder / "pipe.gguf")
    (folder / "gone.gguf").symlink_to(folder / "nowhere")
    (folder / "self.gguf").symlink_to(folder / "self.gguf")
    (folder / "device.gguf").symlink_to("/dev/zero")
    assert ids(tmp_path) == []


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / ".lmstudio/models/org"
    put(folder / "bird.gguf")
    (folder / "again").symlink_to(folder)
    assert ids(tmp_path) == ["bird"]


def test_the_hub_s_cache_leads_nowhere_else(tmp_path: Path) -> None:
    secret = put(tmp_path / "secret.gguf")
    snapshot = put_hub(tmp_path, "org/Bird-GGUF")
    (snapshot / "secret.gguf").symlink_to(secret)
    assert ids(tmp_path) == []


def test_huge_and_deep_trees_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ".lmstudio/models" / "/".join("abcdefghij")
    put(deep / "deep.gguf")
    assert ids(tmp_path) == []
    for number in range(30):
        put(tmp_path / f".lmstudio/models/bird{number:02}.gguf")
    monkeypatch.setattr(discovery, "_MAX_ENTRIES", 20)
    assert len(ids(tmp_path)) <= 20


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_can_t_be_read_is_skipped(tmp_path: Path) -> None:
    closed = tmp_path / ".lmstudio/models/closed"
    put(closed / "bird.gguf")
    closed.chmod(0)
    put(tmp_path / ".lmstudio/models/open.gguf")
    assert ids(tmp_path) == ["open"]
    closed.chmod(0o700)


# --- names ---


def test_a_name_finds_what_another_program_has(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    blob = put_ollama(tmp_path, "registry.example/library/bird/4b")
    put_hub(tmp_path, "org/Bird-GGUF", "bird-Q4_K_M.gguf", sha256="cd" * 32)
    models = found_in(tmp_path)
    local = find_local("Bird:4b", store, lambda: models)
    assert local is not None
    assert (local.id, local.path, local.source) == ("bird:4b", blob, "file")
    for name in ("org/Bird-GGUF", "hf.co/org/bird-gguf:Q4_K_M", "hf:org/Bird-GGUF:bird-Q4_K_M.gguf"):
        cached = find_local(name, store, lambda: models)
        assert cached is not None
        assert cached.path.name == "bird-Q4_K_M.gguf"
    assert find_local("org/Bird-GGUF:Q8_0", store, lambda: models) is None
    with pytest.raises(ModelNotFound):
        find_local("cat:4b", store, lambda: models)


def test_a_model_of_the_catalog_is_found_by_its_hash(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    entry = store.catalog.find("qwen3-4b")
    put_ollama(tmp_path, "registry.example/library/anything/x", sha256=entry.sha256)
    local = find_local("qwen3:4b", store, lambda: found_in(tmp_path))
    assert local is not None
    assert (local.id, local.path.name) == ("qwen3-4b", f"sha256-{entry.sha256}")
    assert find_local("qwen3-8b", store, lambda: found_in(tmp_path)) is None


def test_a_quantization_that_the_catalog_lacks_is_refused(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    entry = store.catalog.find("qwen3-4b")
    assert wanted_model("qwen3:4b-q4_K_M", store) is entry
    assert wanted_model("Qwen/Qwen3-4B", store) is entry
    with pytest.raises(ModelNotFound, match=r"has qwen3-4b as Q4_K_M only.*owner/repository:Q8_0"):
        wanted_model("qwen3:4b-q8_0", store)
