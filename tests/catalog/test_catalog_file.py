"""The catalog's file: what is rejected, and which of two is used."""

from pathlib import Path
from typing import Any

import pytest
from tests.catalog.catalogs import catalog_bytes, model

from myna.catalog.catalog_file import MAX_BYTES, bundled_catalog, catalog_path, open_catalog, read_catalog
from myna.core.errors import ConfigurationError


def test_a_catalog_is_read() -> None:
    catalog = read_catalog(catalog_bytes(model(names=["bird:1b"], published="2025-01-02")))
    entry = catalog.find("bird:1b")
    assert (entry.id, entry.created, entry.context_tokens) == ("bird-1b", 1735776000, 2048)
    assert catalog.recommended == {"chat": ("bird-1b",)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "Bird"}, "matching regex"),
        ({"id": None}, "missing required field `id`"),
        ({"sha256": "abc"}, "matching regex"),
        ({"sha256": None}, "missing required field `sha256`"),
        ({"file": "../bird.gguf"}, "matching regex"),
        ({"file": "bird.exe"}, "matching regex"),
        ({"bytes": 0}, "`int` >= 1"),
        ({"bytes": 1 << 50}, "`int` <="),
        ({"parameters": 0}, "`float` > 0"),
        ({"active_parameters": 2.0}, "more active parameters than parameters"),
        ({"capabilities": ["flying"]}, "Invalid enum value 'flying'"),
        ({"sources": []}, "length >= 1"),
        ({"sources": [{"kind": "hub", "hub": "elsewhere", "repository": "a/b"}]}, "Invalid enum value"),
        ({"sources": [{"kind": "hub", "hub": "huggingface", "repository": "../b"}]}, "matching regex"),
        ({"sources": [{"kind": "folder", "path": "/"}]}, "Invalid value 'folder'"),
        (
            {
                "sources": [
                    {
                        "kind": "wheels",
                        "parts": [{"package": "-e", "version": "1", "member": "a", "bytes": 100}],
                    }
                ]
            },
            "matching regex",
        ),
        (
            {
                "sources": [
                    {"kind": "wheels", "parts": [{"package": "a", "version": "1", "member": "a", "bytes": 7}]}
                ]
            },
            "don't add up to 100 bytes",
        ),
        ({"sampling": {"temperature": 9}}, "no valid sampling parameter temperature"),
        ({"terms": "http://example.com"}, "matching regex"),
        ({"published": "2025-13-01"}, "month"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_what_is_wrong_with_a_model_is_said(changes: dict[str, Any], said: str) -> None:
    changed = {name: value for name, value in (model() | changes).items() if value is not None}
    with pytest.raises(ConfigurationError, match="This is not a valid catalog") as failed:
        read_catalog(catalog_bytes(changed, recommended={}))
    assert said in failed.value.message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "truncated"),
        (b"\xff", "malformed"),
        (catalog_bytes(), "length >= 1"),
        (catalog_bytes(model(), model()), "have the same name"),
        (catalog_bytes(model("a1"), model("b1", sha256=model("a1")["sha256"])), "same sha256"),
        (catalog_bytes(model("a-1"), model("b", names=["a:1"])), "have the same name 'a:1'"),
        (catalog_bytes(model(), recommended={"chat": ["nothing"]}), "nothing is recommended for chat"),
        (catalog_bytes(model(), recommended={"flying": []}), "Invalid enum value"),
        (catalog_bytes(model(), version="1"), "matching regex"),
        (b" " * (MAX_BYTES + 1), "more than"),
        (catalog_bytes(model(sources=["?"])).replace(b'"?"', b'{"x": ' + b"[" * 100_000), "recursion"),
    ],
)
def test_what_is_wrong_with_a_catalog_is_said(data: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError) as failed:
        read_catalog(data)
    assert said in failed.value.message


def test_a_newer_catalog_of_the_user_is_used(tmp_path: Path) -> None:
    assert open_catalog(tmp_path) is bundled_catalog()
    catalog_path(tmp_path).write_bytes(catalog_bytes(model()))
    assert [entry.id for entry in open_catalog(tmp_path).entries] == ["bird-1b"]


@pytest.mark.parametrize("data", [catalog_bytes(model(), version="2020-01-01"), b"{"])
def test_an_older_or_broken_catalog_is_not_used(tmp_path: Path, data: bytes) -> None:
    catalog_path(tmp_path).write_bytes(data)
    assert open_catalog(tmp_path) is bundled_catalog()
