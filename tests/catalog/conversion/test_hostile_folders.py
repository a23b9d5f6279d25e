"""Folders whose JSON says anything at all: imported, or refused in words."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.catalog.conversion.tiny_folders import FOLDERS

from myna.catalog.conversion.convert import convert
from myna.core.errors import ModelFileError

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "modules.json", "1_Pooling/config.json")
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 2**70, 1e308, 0.5, "", "x", "full_attention", "\ud800"]),
    st.sampled_from([[], {}, [[]], [{}], {"a": None}, [0], ["x", 1], {"rope_theta": "x"}, {"content": 3}]),
)


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FOLDERS[request.param](tmp_path_factory.mktemp("folder") / request.param)


def change(data: st.DataObject, value: Any) -> Any:
    """A copy in which one value, at any depth, is something else or is gone."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(value)))
        if data.draw(st.integers(0, 9)) == 0:
            return {other: kept for other, kept in value.items() if other != key}
        return value | {key: change(data, value[key])}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], change(data, value[at]), *value[at + 1 :]]
    return data.draw(ANYTHING)


@given(data=st.data())
def test_any_json_is_imported_or_refused_in_words(folder: Path, data: st.DataObject) -> None:
    path = folder / data.draw(st.sampled_from(FILES))
    before = path.read_text(encoding="utf-8")
    path.write_text(json.dumps(change(data, json.loads(before))), encoding="utf-8")
    try:
        conversion = convert(folder, "tiny", "q8_0")
        assert conversion.num_bytes > 0
    except ModelFileError:
        pass
    finally:
        path.write_text(before, encoding="utf-8")
