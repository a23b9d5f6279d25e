"""Hostile GGUF bytes: every one of them loads or is refused in words; nothing crashes or grows."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engines.hostile import attempt, bounded_memory
from tests.engines.tiny_models import Tiny, write_tiny

from myna.core.errors import ModelLoadFailed
from myna.engines.native import load

pytestmark = pytest.mark.usefixtures(bounded_memory.__name__)
HEADER = struct.Struct("<4sIQQ")  # magic, version, tensors, metadata


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = write_tiny(tmp_path_factory.mktemp("gguf") / "tiny.gguf", Tiny(layers=1))
    return path.read_bytes()


def header_end(content: bytes) -> int:
    """Where the metadata and tensor list end, roughly: the last tensor's name is near the end of it."""
    return content.rindex(b"blk.0.ffn_down.weight") + 80


def test_the_untouched_file_loads(valid: bytes, tmp_path: Path) -> None:
    assert attempt(tmp_path / "model", valid) == ""


@given(data=st.data())
def test_changed_header_bytes_never_crash(valid: bytes, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(valid)
    end = header_end(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        width = data.draw(st.sampled_from([1, 4, 8]))
        at = data.draw(st.integers(0, end - width))
        interesting = [0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 2**64 - 32]
        value = data.draw(st.one_of(st.sampled_from(interesting), st.integers(0, 2**64 - 1)))
        content[at : at + width] = (value % 256**width).to_bytes(width, "little")
    attempt(tmp_path / "model", bytes(content))


@given(fraction=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(valid: bytes, tmp_path: Path, fraction: float) -> None:
    assert attempt(tmp_path / "model", valid[: int(fraction * (len(valid) - 64))]) != ""


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ((b"GGML", 3, 1, 1), "not a GGUF file"),
        ((b"GGUF", 1, 1, 1), "version 1"),
        ((b"GGUF", 4, 1, 1), "version 4"),
        ((b"GGUF", 3 << 24, 1, 1), "big-endian"),
        ((b"GGUF", 3, 2**63, 1), "more than fit"),
        ((b"GGUF", 3, 1, 2**64 - 1), "more than fit"),
        ((b"GGUF", 3, 0, 0), "architecture"),
    ],
)
def test_a_bad_header_is_named(header: tuple[bytes, int, int, int], message: str, tmp_path: Path) -> None:
    assert message in attempt(tmp_path / "model", HEADER.pack(*header) + bytes(64))


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (struct.pack("<Q", 2**62), "length"),  # a key longer than any file
        (string(b"k") + struct.pack("<I", 99), "unknown type 99"),
        (string(b"k") + struct.pack("<IQ", 8, 2**63), "length"),
        (string(b"k") + struct.pack("<IIQ", 9, 4, 2**62), "more than the file holds"),
        (string(b"k") + struct.pack("<IIQ", 9, 8, 2**60), "more than the file holds"),
        (string(b"k") + struct.pack("<IIQ", 9, 9, 1), "elements of type 9"),
        (string(b"k") + struct.pack("<II", 4, 1) + string(b"k") + struct.pack("<II", 4, 1), "there twice"),
        (string(b"general.alignment") + struct.pack("<II", 4, 3), "alignment"),
        (string(b"general.alignment") + struct.pack("<IQ", 10, 2**40), "alignment"),
    ],
)
def test_bad_metadata_is_named(metadata: bytes, message: str, tmp_path: Path) -> None:
    count = 2 if message == "there twice" else 1
    assert message in attempt(tmp_path / "model", HEADER.pack(b"GGUF", 3, 0, count) + metadata + bytes(64))


def tensor(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return string(name) + dimensions + struct.pack("<IQ", kind, offset)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (tensor(b"t", (), 0, 0), "0 dimensions"),
        (tensor(b"t", (1, 1, 1, 1, 1), 0, 0), "5 dimensions"),
        (tensor(b"t", (4, 0), 0, 0), "dimension of 0"),
        (tensor(b"t", (2**63, 8), 0, 0), "impossible dimensions"),
        (tensor(b"t", (2**32, 2**32), 0, 0), "impossible dimensions"),
        (tensor(b"t", (33,), 8, 0), "whole blocks of Q8_0"),
        (tensor(b"t", (32,), 4, 0), "unknown type 4"),
        (tensor(b"t", (32,), 0, 16), "misaligned"),
        (tensor(b"t", (32,), 0, 2**64 - 32), "beyond the end"),
        (tensor(b"t", (2**20,), 0, 0), "beyond the end"),
        (struct.pack("<Q", 300) + bytes(300), "length of 300"),
    ],
)
def test_a_bad_tensor_is_named(entry: bytes, message: str, tmp_path: Path) -> None:
    assert message in attempt(tmp_path / "model", HEADER.pack(b"GGUF", 3, 1, 0) + entry + bytes(512))


def test_a_shard_without_its_siblings_says_so(tmp_path: Path) -> None:
    tiny = Tiny(overrides={"split.count": 2, "split.no": 0, "split.tensors.count": 20})
    path = write_tiny(tmp_path / "tiny-00001-of-00002.gguf", tiny)
    with pytest.raises(ModelLoadFailed, match="tiny-00002-of-00002"):
        load(str(path), context_tokens=64, memory_bytes=8 << 20, threads=1)
    renamed = path.rename(tmp_path / "tiny.gguf")
    with pytest.raises(ModelLoadFailed, match="2 shards"):
        load(str(renamed), context_tokens=64, memory_bytes=8 << 20, threads=1)


def test_a_tensor_type_of_a_newer_ggml_is_unsupported_and_not_corrupt(valid: bytes, tmp_path: Path) -> None:
    content = bytearray(valid)
    name = b"blk.0.ffn_down.weight"
    at = valid.rindex(name) + len(name) + 4 + 2 * 8  # behind the number of dimensions and two of them
    content[at : at + 4] = (1000).to_bytes(4, "little")
    words = attempt(tmp_path / "model", bytes(content))
    assert "can't run" in words
    assert "'blk.0.ffn_down.weight' has the unknown type 1000" in words


def test_threads_that_cannot_start_are_a_failed_load(valid: bytes, tmp_path: Path) -> None:
    """In a process of its own, whose address space holds a few of the many stacks."""
    (tmp_path / "model").write_bytes(valid)
    done = subprocess.run(
        [sys.executable, "-c", TOO_MANY_THREADS, str(tmp_path / "model")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "of 4000 can't be started" in done.stdout


TOO_MANY_THREADS = """
import resource, sys
from myna.core.errors import ModelLoadFailed
from myna.engines.native import load
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
try:
    load(sys.argv[1], context_tokens=64, memory_bytes=8 << 20, threads=4000)
except ModelLoadFailed as error:
    print(error.message)
"""
