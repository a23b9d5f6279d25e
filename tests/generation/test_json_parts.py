"""A document in parts: the same bytes as in one go, each part small."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.generation.json_parts import LazyArray, encoded_if_long, json_parts


def _plain(value: Any) -> Any:
    """The document with its arrays rendered."""
    match value:
        case LazyArray():
            return [_plain(item) for items in value.slices() for item in items]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
    return value


def _containers(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.lists(inside, max_size=5)
    lazy = st.builds(
        lambda some, length: LazyArray(some, lambda item: item, length), items, st.integers(1, 3)
    )
    return items | lazy | st.dictionaries(st.text(), inside, max_size=4)


_SCALARS = st.none() | st.integers(-(2**63), 2**63) | st.text() | st.floats(-1e9, 1e9)


@given(st.recursive(_SCALARS, _containers, max_leaves=20), st.booleans())
def test_the_parts_are_what_one_call_would_give(document: Any, is_indented: bool) -> None:
    expected = msgspec.json.encode(_plain(document))
    if is_indented:
        expected = msgspec.json.format(expected, indent=2)
    assert b"".join(json_parts(document, is_indented=is_indented)) == expected


@given(st.recursive(_SCALARS, lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside)))
@pytest.mark.parametrize("is_indented", [False, True])
def test_a_value_encoded_before_is_the_same(is_indented: bool, value: Any) -> None:
    rest = LazyArray([1, 2], str, 1)
    document = {"long": [value, "x" * 70_000], "rest": rest, "last": value}
    expected = b"".join(json_parts(document, is_indented=is_indented))
    parts = [*json_parts(document | {"long": encoded_if_long(document["long"])}, is_indented=is_indented)]
    assert b"".join(parts) == expected
    assert max(map(len, parts)) < 70_000 * 2
    assert encoded_if_long(value) is value


def test_a_large_array_is_rendered_a_slice_at_a_time_and_only_when_it_is_asked_for() -> None:
    asked: list[int] = []

    def render(number: int) -> str:
        asked.append(number)
        return "x" * 1000

    numbers = LazyArray(range(1000), render, 10)
    parts = json_parts({"lists": LazyArray([numbers], lambda item: {"numbers": item}, 8)}, is_indented=True)
    first = next(parts)
    assert len(first) < 80_000
    assert len(asked) < 100
    assert len(list(parts)) > 10
    assert asked == list(range(1000))


def test_what_has_no_json_is_an_error() -> None:
    with pytest.raises(TypeError, match="can't encode object"):
        list(json_parts([object()], is_indented=False))
