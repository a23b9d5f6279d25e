"""The paths of what a request asks for without effect."""

import tracemalloc
from typing import Any

from myna.wire.ignored import IgnoredFields


def test_nested_names_have_a_path_and_elements_of_an_array_share_one() -> None:
    body: dict[str, Any] = {"a": [{"b": {"x": 1}}, {"b": {"x": 1, "y": 2}}], "z": 1}
    ignored = IgnoredFields()
    ignored.add(["z"])
    ignored.add(["x"], body["a"][0]["b"])
    ignored.add(["x", "y"], body["a"][1]["b"])
    ignored.add(["new"], {"made": "by a validator"})
    assert ignored.paths(body) == ["z", "a[].b.x", "a[].b.y", "new"]


def test_a_long_key_is_not_copied_to_everything_below_it() -> None:
    body = {"k" * 100_000: [{"x": 1}] * 10_000}
    ignored = IgnoredFields()
    ignored.add(["x"], {})
    tracemalloc.start()
    try:
        assert ignored.paths(body) == ["x"]
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 10_000_000
