"""The header reader against the `gguf` package, and against files that lie."""

import ctypes
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.prompts.gguf_files import Entry, entry, gguf_bytes, string, tiny, write

from myna.core.errors import ModelFileError
from myna.prompts.ggml_types import BLOCKS
from myna.prompts.gguf import Header, read_header, shard_paths
from myna.prompts.model_check import check_model

SMALL = gguf_bytes(
    {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.block_count": 1,
        "llama.context_length": 64,
        "llama.embedding_length": 32,
        "llama.attention.head_count": 4,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["a", "b", "ab"],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.token_type": [1, 1, 1],
        "tokenizer.ggml.scores": [0.0, -1.0, -2.0],
        "tokenizer.ggml.add_bos_token": False,
    },
    [("token_embd.weight", (32, 3), 0, 0), ("blk.0.attn_q.weight", (32, 1), 8, 384)],
    data=bytes(384 + 64),
)


def read(tmp_path: Path, data: bytes) -> Header:
    return read_header(write(tmp_path / "x.gguf", data))


def test_types_are_those_of_the_reference() -> None:
    reference = {
        kind.value: (kind.name, *gguf.GGML_QUANT_SIZES[kind])
        for kind in gguf.GGMLQuantizationType
        if kind in gguf.GGML_QUANT_SIZES
    }
    # Never stored in a file; in llama.cpp its two floats became halves, which the package missed.
    reference[gguf.GGMLQuantizationType.Q8_1.value] = ("Q8_1", 32, 36)
    assert {kind: BLOCKS.get(kind) for kind in reference} == reference


def test_types_are_those_of_llama_cpp() -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    (library,) = (Path(llama_cpp.__file__).parent / "lib").glob("libggml-base.*[oyl]")
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_blck_size.restype = ctypes.c_int64
    ggml.ggml_type_size.restype = ctypes.c_size_t
    for kind, (name, *sizes) in BLOCKS.items():
        assert [ggml.ggml_blck_size(kind), ggml.ggml_type_size(kind)] == sizes, name


def test_a_real_header_is_read_as_the_reference_reads_it(model_path: Callable[[str], Path]) -> None:
    path = model_path("smollm2-135m-instruct")
    ours, reference = read_header(path), gguf.GGUFReader(path)
    theirs = {key: field for key, field in reference.fields.items() if not key.startswith("GGUF.")}
    assert set(ours.metadata) == set(theirs)
    for key, field in theirs.items():
        value, expected = ours.metadata[key], field.contents()
        if isinstance(value, np.ndarray):
            assert value.tolist() == expected, key
            continue
        texts = [text.decode() for text in value] if isinstance(value, list) else None
        assert (texts or value) == expected, key
    assert [(t.name, t.shape, t.type, t.offset, t.num_bytes) for t in ours.tensors] == [
        (t.name, tuple(map(int, t.shape)), t.tensor_type.name, int(t.data_offset), int(t.n_bytes))
        for t in reference.tensors
    ]


@pytest.mark.parametrize("version", [2, 3])
def test_a_small_file_is_read_whole(tmp_path: Path, version: int) -> None:
    data = SMALL[:4] + struct.pack("<I", version) + SMALL[8:]
    header = read(tmp_path, data)
    check_model(header)
    assert header.architecture == "llama"
    assert header.strings("tokenizer.ggml.tokens") == [b"a", b"b", b"ab"]
    assert header.numbers("tokenizer.ggml.scores").tolist() == [0.0, -1.0, -2.0]
    assert header.boolean("tokenizer.ggml.add_bos_token") is False
    assert header.tensors[1].type == "Q8_0"
    assert header.tensors[1].num_bytes == 34
    with pytest.raises(ModelFileError, match="should be an integer"):
        header.integer("general.name")
    with pytest.raises(ModelFileError, match=r"lacks general\.nothing"):
        header.string("general.nothing")


HEAD = b"GGUF" + struct.pack("<I", 3)
LIES = {
    "nothing": (b"", "is not a GGUF file"),
    "not a model": (b"PK\3\4" + bytes(100), "is not a GGUF file"),
    "version 1": (b"GGUF" + struct.pack("<I", 1) + bytes(100), "GGUF version 1 is not supported"),
    "big-endian": (b"GGUF" + struct.pack(">I", 3) + bytes(100), "big-endian"),
    "absurd counts": (HEAD + struct.pack("<QQ", 1 << 60, 1), "more than 65536"),
    "absurd entries": (HEAD + struct.pack("<QQ", 0, 1 << 63), "more than 65536"),
    "a key of 2^62 bytes": (HEAD + struct.pack("<QQQ", 0, 1, 1 << 62), "a key declares"),
    "an empty key": (HEAD + struct.pack("<QQQ", 0, 1, 0), "a key is ''"),
    "a key that is not UTF-8": (HEAD + struct.pack("<QQ", 0, 1) + string(b"\xff\xfe"), "not UTF-8"),
    "an unknown type": (
        HEAD + struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<I", 99),
        "unknown type 99",
    ),
    "a nested array": (
        HEAD + struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IIQ", 9, 9, 1),
        "unsupported type 9",
    ),
    "an array of 2^40 numbers": (
        HEAD + struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IIQ", 9, 5, 1 << 40),
        "declares 1099511627776 items",
    ),
    "more strings than bytes": (
        HEAD + struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IIQ", 9, 8, 1 << 20) + bytes(64),
        "truncated",
    ),
    "a string of 2^50 bytes in an array": (
        HEAD + struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IIQQ", 9, 8, 1, 1 << 50),
        "declares 1125899906842624 bytes",
    ),
    "the same key twice": (
        HEAD + struct.pack("<QQ", 0, 2) + entry("k", 1) + entry("k", 2),
        "contains k twice",
    ),
    "an alignment of 3": (gguf_bytes({"general.alignment": 3}), "not a small power of two"),
    "an alignment of 0": (gguf_bytes({"general.alignment": 0}), "not a small power of two"),
    "five dimensions": (gguf_bytes({}, [("t", (1, 1, 1, 1, 1), 0, 0)]), "5 dimensions"),
    "no dimension": (gguf_bytes({}, [("t", (), 0, 0)]), "0 dimensions"),
    "an unknown tensor type": (gguf_bytes({}, [("t", (32,), 77, 0)]), "unknown type 77"),
    "a removed tensor type": (gguf_bytes({}, [("t", (32,), 4, 0)]), "unknown type 4"),
    "a shape that is not a multiple of a block": (gguf_bytes({}, [("t", (33,), 8, 0)]), "is invalid for"),
    "a shape that overflows": (gguf_bytes({}, [("t", (1 << 40, 1 << 40), 0, 0)]), "is invalid for"),
    "an empty tensor": (gguf_bytes({}, [("t", (0,), 0, 0)]), "is invalid for"),
    "a tensor past the end": (gguf_bytes({}, [("t", (32,), 0, 0)], data=bytes(64)), "ends at byte"),
    "an offset of 2^63": (gguf_bytes({}, [("t", (32,), 0, 1 << 63)], data=bytes(128)), "ends at byte"),
    "a crooked offset": (gguf_bytes({}, [("t", (8,), 0, 4)], data=bytes(128)), "not a multiple of 32"),
    "tensors that overlap": (
        gguf_bytes({}, [("t", (32,), 0, 0), ("u", (32,), 0, 32)], data=bytes(256)),
        "overlap",
    ),
    "a tensor twice": (
        gguf_bytes({}, [("t", (8,), 0, 0), ("t", (8,), 0, 32)], data=bytes(256)),
        "tensor t twice",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lying_file_is_refused_by_the_name_of_its_fault(tmp_path: Path, name: str) -> None:
    data, fault = LIES[name]
    with pytest.raises(ModelFileError, match=fault) as caught:
        read(tmp_path, data)
    assert "x.gguf" in caught.value.message


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    for size in range(len(SMALL) - 30):
        with pytest.raises(ModelFileError):
            read(tmp_path, SMALL[:size])


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(ModelFileError, match="can't be read"):
            read_header(path)


@given(
    flips=st.lists(st.tuples(st.integers(0, len(SMALL) * 8 - 1)), min_size=1, max_size=6),
    splice=st.none() | st.tuples(st.integers(0, len(SMALL) - 8), st.integers(0, (1 << 64) - 1)),
    size=st.integers(0, len(SMALL)),
)
def test_a_damaged_file_is_read_or_refused_within_bounds(
    tmp_path: Path, flips: list[tuple[int]], splice: tuple[int, int] | None, size: int
) -> None:
    data = bytearray(SMALL)
    for (bit,) in flips:
        data[bit // 8] ^= 1 << bit % 8
    if splice is not None:
        data[splice[0] : splice[0] + 8] = struct.pack("<Q", splice[1])
    path = write(tmp_path / "x.gguf", bytes(data[:size] if size % 3 == 0 else data))
    tracemalloc.start()
    try:
        check_model(read_header(path))
    except ModelFileError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 << 20


SHAPES = {
    "no blocks": ({"llama.block_count": 0}, "block_count is 0"),
    "65,536 blocks": ({"llama.block_count": 65_536}, "block_count is 65536"),
    "more blocks than tensors": ({"llama.block_count": 2}, "declares 2 blocks"),
    "no context": ({"llama.context_length": 0}, "context_length is 0"),
    "another width": ({"llama.embedding_length": 64}, "token embedding has the shape"),
    "another vocabulary": ({"tokenizer.ggml.tokens": ["a", "b"]}, r"expected .32, 2"),
    "no heads": ({"llama.attention.head_count": 0}, "head_count is out of range"),
    "a strange architecture": ({"general.architecture": "../x y"}, "its architecture is"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_that_its_tensors_deny_is_refused(tmp_path: Path, name: str) -> None:
    changes, fault = SHAPES[name]
    base = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 64,
        "llama.embedding_length": 32,
        "llama.attention.head_count": 4,
        "tokenizer.ggml.tokens": ["a", "b", "c"],
    }
    tensors = [("token_embd.weight", (32, 3), 0, 0), ("blk.0.attn_q.weight", (32, 1), 8, 384)]
    data = gguf_bytes({**base, **changes}, tensors, data=bytes(512))  # type: ignore[dict-item]
    with pytest.raises(ModelFileError, match=fault):
        check_model(read(tmp_path, data))


OTHERS: dict[str, tuple[dict[str, Entry], str]] = {
    "a later shard": (
        {"split.no": 1, "split.count": 3},
        "it is a later part of a split model; open …-00001-of-00003.gguf",
    ),
    "a LoRA": (
        {"general.architecture": "llama", "general.type": "adapter"},
        "it is a LoRA adapter; merge it",
    ),
    "an imatrix": ({"general.type": "imatrix"}, "it is an importance matrix"),
    "an mmproj": (
        {"general.architecture": "clip", "general.type": "mmproj"},
        r"\(mmproj\); serve the model's",
    ),
    "an old mmproj": ({"general.architecture": "clip"}, r"\(mmproj\)"),
    "T5": ({"general.architecture": "t5"}, "encoder-decoder model"),
    "a reranker": ({"general.architecture": "qwen3", "qwen3.pooling_type": 4}, "it is a reranker"),
    "a BERT that pools nothing": (
        {"general.architecture": "bert", "bert.pooling_type": 0},
        "a vector of each token, not of a text",
    ),
    "an unknown pooling": (
        {"general.architecture": "qwen3", "qwen3.pooling_type": 9},
        "its pooling type 9 is not known",
    ),
    "a diffusion model": (
        {"general.architecture": "dream", "dream.attention.causal": False},
        "can't write one token after another",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_that_generates_no_text_is_refused_by_what_it_is(tmp_path: Path, name: str) -> None:
    metadata, sentence = OTHERS[name]
    with pytest.raises(ModelFileError, match=sentence):
        check_model(read(tmp_path, gguf_bytes(metadata)))


def test_a_generator_may_say_that_it_pools_nothing(tmp_path: Path) -> None:
    check_model(read_header(tiny(tmp_path, llama__pooling_type=0, general__type="model")))
    check_model(read_header(tiny(tmp_path, llama__attention__causal=True)))


def test_shards_are_found_from_the_first_and_a_missing_one_is_named(tmp_path: Path) -> None:
    split: dict[str, object] = {"split.count": 2, "split.no": 0}
    data = gguf_bytes({"general.architecture": "llama", **split})  # type: ignore[dict-item]
    first = write(tmp_path / "m-00001-of-00002.gguf", data)
    with pytest.raises(ModelFileError, match=r"m-00002-of-00002\.gguf is missing"):
        shard_paths(first, read_header(first))
    second = write(tmp_path / "m-00002-of-00002.gguf", gguf_bytes({"split.count": 2, "split.no": 1}))
    assert shard_paths(first, read_header(first)) == [first, second]
    with pytest.raises(ModelFileError, match="shard 2 of 2"):
        shard_paths(second, read_header(second))
