"""Arrays of strings: the extension and Python read the same, whatever the data."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.prompts import string_arrays
from myna.prompts.string_arrays import merge_pairs_in_python, read_strings_in_python

pytestmark = pytest.mark.skipif(not string_arrays.IS_NATIVE, reason="the extension isn't built")

_STRINGS = st.lists(st.binary(max_size=20))
_MERGES = st.lists(st.binary(max_size=6) | st.text("a é ", max_size=6).map(str.encode))


def written(strings: list[bytes]) -> bytes:
    return b"".join(struct.pack("<Q", len(string)) + string for string in strings)


@given(_STRINGS, st.integers(0, 9), st.integers(0, 9))
def test_strings_are_read_until_the_data_or_their_number_ends(
    strings: list[bytes], start: int, missing: int
) -> None:
    data = b"-" * start + written(strings)
    for part in (data, data[: len(data) - missing]):
        for count in (len(strings), len(strings) + 1, len(strings) // 2):
            read = string_arrays.read_strings(part, start, count)
            assert read == read_strings_in_python(part, start, count)
    assert string_arrays.read_strings(data, start, len(strings)) == (strings, len(data))


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, (1 << 64) - 8, 5])
def test_a_length_beyond_the_data_ends_reading(length: int) -> None:
    data = written([b"one"]) + struct.pack("<Q", length) + b"four"
    for read in (string_arrays.read_strings, read_strings_in_python):
        assert read(data, 0, 2) == ([b"one"], 11)
        assert read(data, 3, 0) == ([], 3)
    assert string_arrays.read_strings(data, len(data) + 1, 1) == ([], len(data) + 1)


@given(_MERGES)
def test_merges_are_cut_at_the_same_spaces(merges: list[bytes]) -> None:
    assert string_arrays.merge_pairs(merges) == merge_pairs_in_python(merges)


def test_merges_may_begin_with_a_space_and_need_one_after_it() -> None:
    merges = [b"a b", b"  b", b"a ", b"a", b" a", b"", b" ", b"a b c", b"\xff b"]
    expected = [("a", "b"), (" ", "b"), ("a", ""), ("a", "b c"), ("\ufffd", "b")]
    assert string_arrays.merge_pairs(merges) == merge_pairs_in_python(merges) == expected
