"""Texts for embedding models begin and end as in training, whatever their file says; and what a file is."""

from pathlib import Path
from typing import Any

import pytest
from tests.engines.tiny_embedders import CLS, EMBEDDING, SEP, WORDPIECES, write_bert, write_qwen3_embedding
from tests.prompts.gguf_files import gguf_bytes, tiny, write

from myna.prompts.gguf import read_header
from myna.prompts.model_check import check_model
from myna.prompts.pooling import find_pooling, has_pooling
from myna.prompts.text_encoder import GgufTextEncoder


def encoder(path: Path) -> GgufTextEncoder:
    header = read_header(path)
    check_model(header)
    return GgufTextEncoder(header)


def test_a_bert_frames_each_text_once(tmp_path: Path) -> None:
    texts = encoder(write_bert(tmp_path / "m.gguf"))
    bird = WORDPIECES.index("▁bird")
    assert texts.encode_batch(["bird", "", "[CLS] bird [SEP]"]) == [
        [CLS, bird, SEP],
        [CLS, SEP],
        [CLS, bird, SEP],
    ]
    assert texts.with_special((bird,)) == [CLS, bird, SEP]
    assert texts.with_special((CLS, bird, SEP)) == [CLS, bird, SEP]
    assert texts.with_special(()) == [CLS, SEP]


@pytest.mark.parametrize("adds_eos", [True, False])
def test_qwen3_embedding_ends_each_text_also_in_older_files(tmp_path: Path, adds_eos: bool) -> None:
    path = write_qwen3_embedding(tmp_path / "m.gguf", adds_eos=adds_eos)
    tokens = read_header(path).strings("tokenizer.ggml.tokens")
    end = tokens.index(b"<|endoftext|>")
    (row,) = encoder(path).encode_batch(["he"])
    assert row == [tokens.index(b"he"), end]


def test_the_end_is_that_of_texts_not_of_turns(tmp_path: Path) -> None:
    """Files that took the chat model's end of a turn for their end of text."""
    path = write_qwen3_embedding(tmp_path / "m.gguf", adds_eos=False)
    tokens = read_header(path).strings("tokenizer.ggml.tokens")
    turn = tokens.index(b"<|im_end|>")
    path = write_qwen3_embedding(tmp_path / "n.gguf", adds_eos=False, tokenizer__ggml__eos_token_id=turn)
    (row,) = encoder(path).encode_batch(["he"])
    assert row[-1] == tokens.index(b"<|endoftext|>")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"general.architecture": "bert"}, "mean"),
        ({"general.architecture": "nomic-bert-moe", "nomic-bert-moe.pooling_type": 2}, "cls"),
        ({"general.architecture": "gemma-embedding", "gemma-embedding.pooling_type": 1}, "mean"),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 3}, "last"),
        ({"general.architecture": "qwen3"}, None),
        ({"general.architecture": "llama", "llama.pooling_type": 0}, None),
        ({"general.architecture": "bert", "bert.pooling_type": 0}, None),
        ({"general.architecture": "bert", "bert.pooling_type": 4}, None),
    ],
)
def test_architecture_and_pooling_say_what_a_file_is(
    tmp_path: Path, metadata: dict[str, Any], expected: str | None
) -> None:
    path = write(tmp_path / "m.gguf", gguf_bytes(metadata))
    assert find_pooling(read_header(path)) == expected
    assert has_pooling(path) == (expected is not None)


def test_the_kind_is_known_from_the_start_of_a_file(tmp_path: Path) -> None:
    names = [f"word {i}" for i in range(100_000)]
    metadata: dict[str, Any] = {"general.architecture": "qwen3", "qwen3.pooling_type": 3}
    metadata["tokenizer.ggml.tokens"] = names
    assert has_pooling(write(tmp_path / "m.gguf", gguf_bytes(metadata)))
    assert not has_pooling(tiny(tmp_path))
    assert not has_pooling(write(tmp_path / "n.gguf", b"GGUF"))
    assert not has_pooling(tmp_path / "none.gguf")


@pytest.mark.parametrize(
    ("name", "architecture", "expected"),
    [
        ("Qwen3 Embedding 0.6B", "qwen3", range(32, EMBEDDING + 1)),
        ("Some Qwen3 finetune", "qwen3", ()),
    ],
)
def test_widths_are_those_that_the_model_was_trained_for(
    tmp_path: Path, name: str, architecture: str, expected: range | tuple[int, ...]
) -> None:
    path = write_qwen3_embedding(tmp_path / "m.gguf", general__name=name)
    assert encoder(path).widths == expected


def test_a_bert_has_vectors_of_one_width_unless_its_name_is_known(tmp_path: Path) -> None:
    assert encoder(write_bert(tmp_path / "m.gguf")).widths == ()
    known = write_bert(tmp_path / "n.gguf", name="Snowflake Arctic Embed m v1.5")
    assert encoder(known).widths == (256, EMBEDDING)


def test_a_huge_text_has_a_lower_bound_of_tokens(tmp_path: Path) -> None:
    texts = encoder(write_bert(tmp_path / "m.gguf"))
    for text in ("bird the 5 x", "a,b;c", "  a\tb\n", "éa bé", "中文 字", "-- a"):
        (row,) = texts.encode_batch([text])
        assert texts.least_tokens(text) <= len(row) - 2
    assert texts.least_tokens("bird " * 1000) == 1000
