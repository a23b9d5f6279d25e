"""Which files of a repository are the model that was asked for."""

import pytest

from myna.catalog.repository import RepositoryFile, choose_files, companion
from myna.core.errors import DownloadFailed


def files(*names: str) -> list[RepositoryFile]:
    return [RepositoryFile(name, 1, "00") for name in names]


BIRD = files(
    "bird-q4_k_m.gguf",
    "bird-q8_0.gguf",
    "bird-f16-00002-of-00002.gguf",
    "bird-f16-00001-of-00002.gguf",
    "mmproj-bird-Q8_0.gguf",
    "mmproj-F16.gguf",
    "mtp-bird-Q4_0.gguf",
    "imatrix.gguf",
)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("", ["bird-q4_k_m.gguf"]),
        ("Q8_0", ["bird-q8_0.gguf"]),
        ("bird-q8_0.gguf", ["bird-q8_0.gguf"]),
        ("F16", ["bird-f16-00001-of-00002.gguf", "bird-f16-00002-of-00002.gguf"]),
        ("bird-f16-00001-of-00002.gguf", ["bird-f16-00001-of-00002.gguf", "bird-f16-00002-of-00002.gguf"]),
    ],
)
def test_a_quantization_or_a_name_chooses_files(wanted: str, names: list[str]) -> None:
    assert [file.name for file in choose_files(BIRD, wanted)] == names


def test_a_repository_with_an_image_part_is_not_ambiguous() -> None:
    vision = files("SmolVLM-256M-Instruct-Q8_0.gguf", "mmproj-SmolVLM-256M-Instruct-Q8_0.gguf")
    assert [file.name for file in choose_files(vision, "Q8_0")] == ["SmolVLM-256M-Instruct-Q8_0.gguf"]
    assert [file.name for file in choose_files(vision, "")] == ["SmolVLM-256M-Instruct-Q8_0.gguf"]


def test_the_plain_quantization_comes_before_its_variant() -> None:
    both = files("Q4_K_M/bird-Q4_K_M.gguf", "UD-Q4_K_M/bird-UD-Q4_K_M.gguf")
    assert [file.name for file in choose_files(both, "Q4_K_M")] == ["Q4_K_M/bird-Q4_K_M.gguf"]
    assert [file.name for file in choose_files(both, "UD-Q4_K_M")] == ["UD-Q4_K_M/bird-UD-Q4_K_M.gguf"]
    assert choose_files(both[1:], "Q4_K_M") == both[1:]


def test_a_quantization_that_is_not_there_lists_what_is() -> None:
    with pytest.raises(
        DownloadFailed, match=r"'Q5_K_M'; it has bird-f16.gguf, bird-q4_k_m.gguf, bird-q8_0.gguf"
    ):
        choose_files(BIRD, "Q5_K_M")


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ("mmproj-F16.gguf", "image or audio part"),
        ("imatrix.gguf", "importance matrix"),
        ("mtp-bird-Q4_0.gguf", "draft head"),
    ],
)
def test_a_companion_is_named_as_what_it_is(wanted: str, what: str) -> None:
    with pytest.raises(DownloadFailed, match=f"{wanted} is .*{what}.*choose the model's own file"):
        choose_files(BIRD, wanted)


@pytest.mark.parametrize(
    ("name", "is_companion"), [("my-lora.gguf", True), ("Lorax-7B.gguf", False), ("a/mmproj-x.gguf", True)]
)
def test_companions_are_recognized_by_a_whole_word(name: str, is_companion: bool) -> None:
    assert (companion(name) is not None) == is_companion


def test_a_missing_shard_is_noticed() -> None:
    with pytest.raises(DownloadFailed, match="Only 1 of 2 shards"):
        choose_files(BIRD[:3], "F16")
