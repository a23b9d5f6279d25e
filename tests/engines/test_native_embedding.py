"""Embedding models on the native engine: what llama.cpp computes from the same random files, the same bits in
any company, and refusals by name."""

import re
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.tiny_encoders import CONTEXT, VOCABULARY, TinyEncoder, write_tiny_encoder

from myna.core.errors import GenerationFailed, ModelLoadFailed
from myna.core.installation import install_command
from myna.engines import llamacpp_embedding
from myna.engines.native_embedding import load

Vectors = npt.NDArray[np.float32]
MODELS = {
    "bert, mean": TinyEncoder("bert"),
    "bert, first token": TinyEncoder("bert", pooling=2),
    "bert, joined projections": TinyEncoder("bert", is_joined=True),
    "nomic-bert": TinyEncoder("nomic-bert", is_joined=True),
    "gemma-embedding beyond its window": TinyEncoder("gemma-embedding", layers=7, head_dim=32),
    "qwen3, last token": TinyEncoder("qwen3", pooling=3, head_dim=32),
}
LENGTHS = (1, 2, 9, 16, 17, 64, 65, 200, 300, 511)


def text(size: int, salt: int = 0) -> list[int]:
    return [int(token) for token in np.random.default_rng([size, salt]).integers(0, VOCABULARY, size)]


TEXTS = [text(size) for size in LENGTHS]


def embed(path: str, texts: list[list[int]], threads: int = 2) -> Vectors:
    engine = load(path, context_tokens=0, memory_bytes=0, threads=threads)
    vectors = engine.embed(texts)
    engine.close()
    return vectors


@pytest.mark.parametrize("name", MODELS)
def test_an_architecture_computes_what_llama_cpp_does(name: str, tmp_path: Path) -> None:
    path = str(write_tiny_encoder(tmp_path / "tiny.gguf", MODELS[name]))
    ours = embed(path, TEXTS)
    oracle = llamacpp_embedding.load(path, context_tokens=CONTEXT, memory_bytes=0, threads=2)
    theirs = np.concatenate([oracle.embed([tokens]) for tokens in TEXTS])
    oracle.close()
    # llama.cpp looks GELU up in a table of halves, in its approximate form.
    assert (ours * theirs).sum(axis=1).min() > 0.9999


def test_dense_layers_come_after_pooling(tmp_path: Path) -> None:
    """llama.cpp's library ends the process at a file without them."""
    with_dense = write_tiny_encoder(tmp_path / "with.gguf", TinyEncoder("gemma-embedding"))
    without = write_tiny_encoder(tmp_path / "without.gguf", TinyEncoder("gemma-embedding", has_dense=False))
    stored = {tensor.name: tensor.data for tensor in gguf.GGUFReader(with_dense).tensors}
    expected = embed(str(without), TEXTS) @ stored["dense_2.weight"].T @ stored["dense_3.weight"].T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(embed(str(with_dense), TEXTS) - expected).max() < 1e-5


@pytest.mark.parametrize("weights", ["f16", "bf16", "q8_0"])
@pytest.mark.parametrize("architecture", ["bert", "gemma-embedding"])
def test_a_weight_type_stays_near_float32(weights: str, architecture: str, tmp_path: Path) -> None:
    exact = write_tiny_encoder(tmp_path / "exact.gguf", TinyEncoder(architecture))
    rounded = write_tiny_encoder(tmp_path / "rounded.gguf", TinyEncoder(architecture, weights=weights))
    assert (embed(str(exact), TEXTS) * embed(str(rounded), TEXTS)).sum(axis=1).min() > 0.999


@pytest.fixture(scope="module", params=["bert", "gemma-embedding", "qwen3"])
def rounded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A quantised model, for which the fastest kernels are used."""
    tiny = TinyEncoder(request.param, pooling=3 if request.param == "qwen3" else 1, weights="q8_0")
    return str(write_tiny_encoder(tmp_path_factory.mktemp("models") / "tiny.gguf", tiny))


@settings(max_examples=8)
@given(
    sizes=st.lists(st.integers(1, 130), min_size=1, max_size=40),
    place=st.integers(0, 39),
    size=st.sampled_from(LENGTHS),
    threads=st.sampled_from([1, 2, 3]),
)
def test_neither_company_nor_threads_change_a_bit(
    rounded: str, sizes: list[int], place: int, size: int, threads: int
) -> None:
    others = [text(each, salt) for salt, each in enumerate(sizes)]
    place = min(place, len(others))
    alone = embed(rounded, [text(size, 99)], threads=1)
    crowd = embed(rounded, [*others[:place], text(size, 99), *others[place:]], threads=threads)
    assert crowd[place].tobytes() == alone[0].tobytes()


def test_weights_are_read_once_per_slice_of_many_short_texts(tmp_path: Path) -> None:
    path = write_tiny_encoder(tmp_path / "tiny.gguf", TinyEncoder("bert"))
    engine = load(str(path), context_tokens=0, memory_bytes=0, threads=1)
    engine.embed([text(8, 1)])
    one = engine.work.weight_bytes
    engine.embed([text(8, salt) for salt in range(32)])
    assert engine.work.weight_bytes == 2 * one
    engine.close()


@pytest.mark.parametrize(
    ("texts", "message"),
    [([[1], []], "no tokens"), ([text(CONTEXT + 1)], "longer than 512"), ([[VOCABULARY]], "unknown token")],
)
def test_what_is_not_text_is_rejected(texts: list[list[int]], message: str, tmp_path: Path) -> None:
    path = write_tiny_encoder(tmp_path / "tiny.gguf", TinyEncoder("bert"))
    with pytest.raises(GenerationFailed, match=message):
        embed(str(path), texts)


@pytest.mark.parametrize(
    ("tiny", "changes", "message"),
    [
        (TinyEncoder("jina-bert-v2"), {}, "architecture 'jina-bert-v2'"),
        (TinyEncoder("bert", pooling=4), {}, "pooling_type' is 4"),
        (TinyEncoder("bert", pooling=0), {}, "pooling_type' is 0"),
        (TinyEncoder("bert"), {"without": "position_embd.weight"}, "'position_embd.weight' is missing"),
        (TinyEncoder("bert"), {"without": "blk.1.ffn_up.weight"}, "'blk.1.ffn_up.weight' is missing"),
        (TinyEncoder("bert"), {"extra": "cls.weight"}, "'cls.weight' has no place"),
        (TinyEncoder("bert", overrides={"bert.context_length": 513}), {}, "position_embd"),
        (TinyEncoder("bert", overrides={"bert.block_count": 3}), {}, "blk.2"),
        (TinyEncoder("bert", overrides={"bert.attention.head_count": 3}), {}, "21 dimensions"),
        (
            TinyEncoder("bert", overrides={"bert.attention.layer_norm_epsilon": None}),
            {},
            "layer_norm_epsilon",
        ),
        (TinyEncoder("bert", overrides={"bert.attention.max_alibi_bias": 8.0}), {}, "max_alibi_bias"),
        (TinyEncoder("bert", overrides={"tokenizer.ggml.token_type_count": None}), {}, "token_type_count"),
        (TinyEncoder("nomic-bert", overrides={"nomic-bert.rope.scaling.type": "yarn"}), {}, "yarn"),
        (TinyEncoder("gemma-embedding", overrides={"gemma-embedding.dense_2_feat_in": 32}), {}, "dense"),
        (TinyEncoder("gemma-embedding"), {"without": "dense_3.weight"}, "'dense_3.weight' is missing"),
        (
            TinyEncoder("gemma-embedding", overrides={"gemma-embedding.dense_2_feat_out": None}),
            {},
            "dense_2_feat",
        ),
        (
            TinyEncoder("gemma-embedding", overrides={"gemma-embedding.attention.sliding_window": 0}),
            {},
            "window",
        ),
        (TinyEncoder("qwen3", overrides={"qwen3.expert_count": 8}), {}, "expert_count"),
    ],
)
def test_what_the_engine_cannot_run_is_refused_by_name(
    tiny: TinyEncoder, changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = write_tiny_encoder(tmp_path / "tiny.gguf", tiny, **changes)
    with pytest.raises(ModelLoadFailed, match=message):
        load(str(path), context_tokens=0, memory_bytes=0, threads=1)


def test_a_refusal_names_the_engine_that_may_do(tmp_path: Path) -> None:
    path = write_tiny_encoder(tmp_path / "tiny.gguf", TinyEncoder("jina-bert-v2"))
    with pytest.raises(ModelLoadFailed, match=re.escape(install_command("llamacpp"))):
        load(str(path), context_tokens=0, memory_bytes=0, threads=1)


@given(data=st.data())
def test_changed_header_bytes_never_crash(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed headers"
    folder.mkdir(exist_ok=True)
    architecture = data.draw(st.sampled_from(["bert", "nomic-bert", "gemma-embedding", "qwen3"]))
    path = folder / f"{architecture}.gguf"
    if not path.exists():
        write_tiny_encoder(path, TinyEncoder(architecture, layers=1))
    content = bytearray(path.read_bytes())
    end = content.rindex(b"blk.0.") + 80
    for _ in range(data.draw(st.integers(1, 4))):
        width = data.draw(st.sampled_from([1, 4, 8]))
        at = data.draw(st.integers(0, end - width))
        interesting = [0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 2**64 - 32]
        value = data.draw(st.one_of(st.sampled_from(interesting), st.integers(0, 2**64 - 1)))
        content[at : at + width] = (value % 256**width).to_bytes(width, "little")
    changed = folder / "changed.gguf"
    changed.write_bytes(content)
    try:
        engine = load(str(changed), context_tokens=64, memory_bytes=0, threads=1)
    except ModelLoadFailed:
        return
    engine.embed([[1, 2, 3]])
    engine.close()
