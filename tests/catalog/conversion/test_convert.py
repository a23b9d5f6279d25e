"""Folders as Hugging Face publishes them become files whose vectors are sentence-transformers'."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from tests.catalog.conversion.tiny_folders import FOLDERS, HEADS, TEXTS, write_bert_folder, write_safetensors

from myna.catalog.conversion.convert import import_folder
from myna.catalog.conversion.safetensors import read_tensors
from myna.catalog.conversion.weight_types import ENCODERS
from myna.catalog.partial import SilentProgress
from myna.catalog.store import ModelStore, PulledRecord
from myna.core.errors import ModelFileError
from myna.engines.native_embedding import load
from myna.prompts.gguf import read_header
from myna.prompts.model_check import check_model
from myna.prompts.text_encoder import GgufTextEncoder

REFERENCES = json.loads((Path(__file__).parent / "references.json").read_text(encoding="utf-8"))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def imported(folder: Path, store: ModelStore, *, name: str = "tiny", weight_type: str = "f32") -> Path:
    return import_folder(
        folder, store, SilentProgress(), read_header, name=name, weight_type=weight_type
    ).path


@pytest.mark.parametrize("name", FOLDERS)
def test_texts_become_the_same_tokens(name: str, store: ModelStore, tmp_path: Path) -> None:
    header = read_header(imported(FOLDERS[name](tmp_path / name), store))
    check_model(header)
    assert GgufTextEncoder(header).encode_batch(TEXTS) == [row["tokens"] for row in REFERENCES[name]]


@pytest.mark.parametrize(
    ("weight_type", "least"), [("f32", 0.99999), ("f16", 0.9999), ("bf16", 0.999), ("q8_0", 0.999)]
)
@pytest.mark.parametrize("name", FOLDERS)
def test_vectors_are_those_of_sentence_transformers(
    name: str, weight_type: str, least: float, store: ModelStore, tmp_path: Path
) -> None:
    path = imported(FOLDERS[name](tmp_path / name), store, weight_type=weight_type)
    engine = load(str(path), context_tokens=0, memory_bytes=0, threads=1)
    ours = engine.embed([row["tokens"] for row in REFERENCES[name]])
    engine.close()
    expected = np.array([row["vector"] for row in REFERENCES[name]])
    assert (ours * expected).sum(axis=1).min() > least


def test_every_type_has_a_row_above() -> None:
    assert set(ENCODERS) == {"f32", "f16", "bf16", "q8_0"}


def test_the_store_finds_the_model_and_its_settings(store: ModelStore, tmp_path: Path) -> None:
    import_folder(write_bert_folder(tmp_path / "All-MiniLM"), store, SilentProgress(), read_header)
    model = store.find("all-minilm")
    assert model is not None
    assert (model.source, model.path.name) == ("import", "all-minilm.gguf")
    header = read_header(model.path)
    assert header.string("general.name") == "all-minilm"
    assert header.integer("bert.pooling_type") == 1
    assert header.boolean("bert.attention.causal") is False
    assert [path.name for path in store.folder.glob(".partial/*")] == ["import-all-minilm.lock"]


def test_a_name_that_is_taken_is_not_overwritten(store: ModelStore, tmp_path: Path) -> None:
    folder = write_bert_folder(tmp_path / "bert")
    before = imported(folder, store).stat().st_mtime_ns
    with pytest.raises(ModelFileError, match="There is a model tiny already"):
        imported(folder, store, weight_type="q8_0")
    assert (store.folder / "tiny.gguf").stat().st_mtime_ns == before


def test_files_of_another_model_are_not_replaced(store: ModelStore, tmp_path: Path) -> None:
    folder = write_bert_folder(tmp_path / "bert")
    store.folder.mkdir()
    store.write(PulledRecord("hf:org/tiny:Q8_0", ("part-1.gguf",), "org", 1, "hf"))
    before = (store.folder / "hf--org--tiny--Q8_0.json").read_bytes()
    with pytest.raises(ModelFileError, match="There is a model"):
        imported(folder, store, name="hf--org--tiny--q8_0")
    assert (store.folder / "hf--org--tiny--Q8_0.json").read_bytes() == before
    (store.folder / "TINY.gguf").write_bytes(b"unfinished")
    with pytest.raises(ModelFileError, match="There is a model tiny already"):
        imported(folder, store)


@pytest.mark.parametrize("name", ["a/b", "..", "org:tiny", ".hidden", "tiny.", "小", "x" * 101])
def test_a_name_that_is_not_an_id_is_refused(name: str, store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="can't be a model's id"):
        imported(write_bert_folder(tmp_path / "bert"), store, name=name)
    assert not store.folder.exists()


def test_of_two_imports_at_once_one_writes_the_model(store: ModelStore, tmp_path: Path) -> None:
    folder = write_bert_folder(tmp_path / "bert")
    both_are_there = Barrier(2)
    writing: list[Path] = []

    def check(path: Path) -> None:
        writing.append(path)
        read_header(path)

    def run() -> str:
        both_are_there.wait()
        try:
            return import_folder(folder, store, SilentProgress(), check, name="tiny").id
        except ModelFileError as exc:
            return str(exc)

    with ThreadPoolExecutor(2) as pool:
        results = sorted(task.result() for task in [pool.submit(run), pool.submit(run)])
    assert results[1] == "tiny"
    assert results[0].startswith("There is a model tiny already")
    assert len(writing) == 1
    model = store.find("tiny")
    assert model is not None and read_header(model.path).integer("bert.pooling_type") == 1


def test_a_tensor_in_two_shards_is_refused(store: ModelStore, tmp_path: Path) -> None:
    folder = write_bert_folder(tmp_path / "bert")
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    write_safetensors(folder / "two.safetensors", {"pooler.dense.bias": np.zeros(64, np.float32)})
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFileError, match=r"the tensor pooler\.dense\.bias is in two of its files"):
        imported(folder, store)


def test_a_file_that_cannot_be_served_does_not_appear(store: ModelStore, tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise ModelFileError(f"{path.stat().st_size} bytes are not right")

    with pytest.raises(ModelFileError, match="bytes are not right"):
        import_folder(write_bert_folder(tmp_path / "bert"), store, SilentProgress(), refuse)
    assert store.find("bert") is None
    assert [path.name for path in store.folder.iterdir()] == [".partial"]


def test_shards_are_one_model(store: ModelStore, tmp_path: Path) -> None:
    whole = imported(write_bert_folder(tmp_path / "whole"), store, name="whole").read_bytes()
    folder = write_bert_folder(tmp_path / "parts")
    tensors = {
        name: next(tensor.rows()) for name, tensor in read_tensors(folder / "model.safetensors").items()
    }
    (folder / "model.safetensors").unlink()
    names = list(tensors)
    half = len(names) // 2
    shards = {
        f"model-0000{i}-of-00002.safetensors": part for i, part in ((1, names[:half]), (2, names[half:]))
    }
    for shard, part in shards.items():
        write_safetensors(folder / shard, {name: tensors[name] for name in part})
    index = {"weight_map": {name: shard for shard, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert imported(folder, store, name="parts").read_bytes() == whole.replace(b"whole", b"parts")


def _edit(name: str, **values: Any) -> Callable[[Path], None]:
    """Change keys of a JSON file; None removes one."""

    def edit(folder: Path) -> None:
        path = folder / name
        changed = json.loads(path.read_text()) | values
        path.write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))

    return edit


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _write(name: str, content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(content)

    return write


def _tensors(**changes: Any) -> Callable[[Path], None]:
    """Replace tensors by name (with "/" for dots); None removes one."""

    def edit(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = {name: next(tensor.rows()) for name, tensor in read_tensors(path).items()}
        for name, data in changes.items():
            tensors[name.replace("/", ".")] = data
        write_safetensors(path, {name: data for name, data in tensors.items() if data is not None})

    return edit


def _module(kind: str) -> Callable[[Path], None]:
    return _write("modules.json", json.dumps([{"type": f"a.{kind}", "path": "1_Pooling"}]))


PAIR = np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_remove("config.json"), "has no config.json"),
        (_remove("model.safetensors"), "has no model.safetensors; other formats, such as pytorch_model.bin"),
        (_remove("tokenizer.json"), "it has no tokenizer.json"),
        (_remove("modules.json"), "not an embedding model"),
        (_write("config.json", "{"), "config.json is not JSON"),
        (_write("config.json", "[]"), "config.json is not as expected: Expected `object`, got `array`"),
        (_write("config.json", '{"a": ' * 100_000), "config.json is not JSON"),
        (_edit("config.json", architectures=["MambaModel"]), "'MambaModel' is not one of BertModel"),
        (_edit("config.json", hidden_act="relu"), "hidden_act in config.json is 'relu'"),
        (_edit("config.json", position_embedding_type="relative_key"), "position_embedding_type"),
        (_edit("config.json", num_hidden_layers=3), "it lacks 8 tensors, among them blk.2"),
        (_edit("config.json", num_hidden_layers=10**9), "num_hidden_layers in config.json should be"),
        (_edit("config.json", num_attention_heads="4"), "num_attention_heads in config.json should be"),
        (_edit("config.json", layer_norm_eps=-1), "layer_norm_eps in config.json should be"),
        (_module("Normalize"), "not an embedding model"),
        (
            _write("modules.json", '[{"type": "a.Pooling", "path": "../1_Pooling"}]'),
            r"names the file '\.\./1_Pool",
        ),
        (_write("modules.json", '[{"type": "a.Pooling", "path": "/etc"}]'), "names the file '/etc'"),
        (
            _write("modules.json", '[{"type": "a.LSTM"}, {"type": "a.Pooling", "path": "1_Pooling"}]'),
            "'LSTM'",
        ),
        (_edit("1_Pooling/config.json", pooling_mode_mean_tokens=False), "Pooling is not one of"),
        (_edit("1_Pooling/config.json", pooling_mode_max_tokens=True), "Pooling is not one of"),
        (_edit("tokenizer.json", model={"type": "BPE", "vocab": {}}), "tokenizer is a BPE one"),
        (_edit("tokenizer.json", model={"type": "WordPiece", "vocab": {"a": 10**6}}), "tokens beyond the"),
        (_edit("tokenizer.json", normalizer={"type": "NFC"}), "doesn't normalize text as BERT does"),
        (_tensors(**{"adapter/weight": PAIR}), "adapter.weight has no place in bert"),
        (_tensors(**{"embeddings/word_embeddings/weight": None}), "lacks 1 tensors, among them token_embd"),
        (_tensors(**{"bert/embeddings/LayerNorm/weight": PAIR}), "two tensors are called token_embd_norm"),
        (_tensors(**{"embeddings/LayerNorm/bias": PAIR[:0]}), "embeddings.LayerNorm.bias is empty"),
    ],
)
def test_what_cannot_be_imported_is_named(
    change: Callable[[Path], None], message: str, store: ModelStore, tmp_path: Path
) -> None:
    folder = write_bert_folder(tmp_path / "bert")
    change(folder)
    with pytest.raises(ModelFileError, match=message):
        imported(folder, store)
    assert not list(store.folder.glob("*"))


@pytest.mark.parametrize("weight_type", list(ENCODERS))
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_not_finite_numbers_are_refused(
    value: float, weight_type: str, store: ModelStore, tmp_path: Path
) -> None:
    folder = write_bert_folder(tmp_path / "bert")
    tensor = next(read_tensors(folder / "model.safetensors")["embeddings.LayerNorm.weight"].rows()).copy()
    tensor[3] = value
    _tensors(**{"embeddings/LayerNorm/weight": tensor})(folder)
    with pytest.raises(ModelFileError, match=r"LayerNorm\.weight has values that are not finite numbers"):
        imported(folder, store, weight_type=weight_type)
    assert not list(store.folder.rglob("*.gguf"))


def test_a_shard_outside_the_folder_is_not_read(store: ModelStore, tmp_path: Path) -> None:
    folder = write_bert_folder(tmp_path / "bert")
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    index = {"weight_map": {"embeddings.word_embeddings.weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFileError, match=r"names the file '\.\./model.safetensors'"):
        imported(folder, store)


def test_a_full_disk_is_foreseen(store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_bert_folder(tmp_path / "bert")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(ModelFileError, match=r"needs [\d,]+ bytes in .*, which has 1,000 left"):
        imported(folder, store)
    assert not list(store.folder.glob("*.gguf"))


def test_heads_are_those_of_the_config(store: ModelStore, tmp_path: Path) -> None:
    header = read_header(imported(write_bert_folder(tmp_path / "bert"), store))
    assert header.integer("bert.attention.head_count") == HEADS
