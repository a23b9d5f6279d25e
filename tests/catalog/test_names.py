"""Names as people type and paste them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.catalog.entries import fold
from myna.catalog.names import HubName, PlainName, parse_name
from myna.core.errors import ModelNotFound

HF, MS = "huggingface", "modelscope"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("qwen3:4b", PlainName("qwen3:4b")),
        (" qwen3-4b\n", PlainName("qwen3-4b")),
        ("qwen3:latest", PlainName("qwen3")),
        ("qwen3-4b@q4_k_m", PlainName("qwen3-4b", "Q4_K_M")),
        ("qwen3:4b-instruct-2507-q8_0", PlainName("qwen3:4b-instruct-2507", "Q8_0")),
        ("gpt-oss-20b-mxfp4", PlainName("gpt-oss-20b", "MXFP4")),
        ("https://ollama.com/library/qwen3:4b", PlainName("qwen3:4b")),
        ("ollama.com/library/qwen3", PlainName("qwen3")),
        ("org/Bird-GGUF", HubName(HF, "org/Bird-GGUF")),
        ("org/Bird-GGUF:Q4_K_M", HubName(HF, "org/Bird-GGUF", "Q4_K_M")),
        ("hf:org/Bird-GGUF:bird.gguf", HubName(HF, "org/Bird-GGUF", "bird.gguf")),
        ("hf://org/Bird-GGUF", HubName(HF, "org/Bird-GGUF")),
        ("hf.co/org/Bird-GGUF:Q4_K_M", HubName(HF, "org/Bird-GGUF", "Q4_K_M")),
        ("huggingface.co/org/Bird-GGUF", HubName(HF, "org/Bird-GGUF")),
        ("https://huggingface.co/org/Bird-GGUF/", HubName(HF, "org/Bird-GGUF")),
        ("https://huggingface.co/org/Bird-GGUF/tree/main", HubName(HF, "org/Bird-GGUF")),
        (
            "https://huggingface.co/org/Bird-GGUF/resolve/main/Q4/bird.gguf?download=true",
            HubName(HF, "org/Bird-GGUF", "Q4/bird.gguf"),
        ),
        (
            "https://huggingface.co/org/Bird-GGUF/blob/0123abc/bird.gguf",
            HubName(HF, "org/Bird-GGUF", "bird.gguf", "0123abc"),
        ),
        ("ms:org/Bird-GGUF:Q8_0", HubName(MS, "org/Bird-GGUF", "Q8_0")),
        ("modelscope.cn/org/Bird-GGUF", HubName(MS, "org/Bird-GGUF")),
        ("https://www.modelscope.cn/models/org/Bird-GGUF/files", HubName(MS, "org/Bird-GGUF")),
        (
            "https://modelscope.cn/models/org/Bird-GGUF/file/view/master/bird.gguf?status=2",
            HubName(MS, "org/Bird-GGUF", "bird.gguf"),
        ),
    ],
)
def test_a_name_is_understood(text: str, name: HubName | PlainName) -> None:
    assert parse_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/bird.gguf",
        "ftp://huggingface.co/org/bird",
        "file:///etc/passwd",
        "hf:bird",
        "hf:org/bird/../../x",
        "hf:org/bird:../x.gguf",
        "https://huggingface.co/org/bird/resolve/main/../../x.gguf",
        "https://huggingface.co/org/bird/resolve/main/%2e%2e/x.gguf",
        "https://huggingface.co/",
        "https://[huggingface.co/x/y",
        "x" * 2000,
    ],
)
def test_what_is_not_a_model_is_refused(text: str) -> None:
    with pytest.raises(ModelNotFound, match="is not the name of a model"):
        parse_name(text)


@given(st.text(max_size=200))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = parse_name(text)
    except ModelNotFound:
        return
    if isinstance(name, HubName):
        assert name.repository.count("/") == 1
        assert ".." not in name.wanted.split("/")


words = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[0-9]{1,2})?", fullmatch=True)


@given(words, words, st.sampled_from(["Q4_K_M", "IQ4_XS", "UD-Q4_K_XL", "MXFP4", "Q8_0", ""]))
def test_all_ways_to_write_a_repository_name_it(owner: str, name: str, wanted: str) -> None:
    spec = f"{owner}/{name}" + (f":{wanted}" if wanted else "")
    ways = {parse_name(f"{prefix}{spec}") for prefix in ("hf:", "hf.co/", "https://huggingface.co/", "HF:")}
    assert ways == {HubName(HF, f"{owner}/{name}", wanted)}
    (way,) = ways
    assert isinstance(way, HubName)
    assert way.id == spec


@given(words, words)
def test_punctuation_and_case_don_t_distinguish_models(first: str, second: str) -> None:
    assert len({fold(f"{first}{between}{second}") for between in (":", "-", "_", "/", " ", "")}) == 1
    assert fold(f"{first}-{second}".upper()) == fold(f"{first}{second}")
