"""Folders of safetensors: the same tokens as the library that their `tokenizer.json` was made for."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.prompts.awkward import awkward_strings
from tests.vllm.folders import make_tiny
from tokenizers import AddedToken
from tokenizers import Tokenizer as FileTokenizer
from tokenizers.decoders import ByteFallback, Fuse, Replace, Sequence
from tokenizers.models import BPE
from tokenizers.normalizers import NFC, Prepend
from tokenizers.normalizers import Replace as Replaced
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.processors import TemplateProcessing

from myna.core.conversation import Message, TextPart
from myna.core.errors import ModelFileError
from myna.core.sampling_defaults import SamplingDefaults
from myna.prompts.folder_text import FolderText
from myna.prompts.renderer import GgufRenderer

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)
AWKWARD = awkward_strings(300)
SPECIAL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")


def make_folder(path: Path, tokenizer: FileTokenizer, **files: Any) -> Path:
    """A folder without weights; `files` are JSON files by name, config.json has defaults."""
    tokenizer.save(str(path / "tokenizer.json"))
    config = {"model_type": "llama", "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 512}
    contents: dict[str, Any] = {
        "tokenizer_config": {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": TEMPLATE},
        **files,
        "config": config | files.get("config", {}),
    }
    for name, content in contents.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def byte_level() -> FileTokenizer:
    alphabet = sorted(ByteLevel.alphabet())
    pairs = [("l", "o"), ("h", "e"), ("Ġ", "a"), ("he", "lo"), ("1", "2")]
    texts = [*alphabet, *("".join(pair) for pair in pairs)]
    tokenizer = FileTokenizer(BPE({text: number for number, text in enumerate(texts)}, pairs))
    tokenizer.normalizer = NFC()
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return with_special(tokenizer)


def sentencepiece(scheme: str) -> FileTokenizer:
    """As Gemma, Llama 2 and Mistral have it: `scheme` says where a text begins with a space."""
    texts = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdehlo", "lo", "he", "▁a", "helo"]
    pairs = [("l", "o"), ("h", "e"), ("▁", "a"), ("he", "lo")]
    vocabulary = {text: number for number, text in enumerate(texts)}
    tokenizer = FileTokenizer(BPE(vocabulary, pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if scheme == "prepend":
        tokenizer.normalizer = Normalizers([Prepend("▁"), Replaced(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = Metaspace("▁", prepend_scheme=scheme, split=False)
    tokenizer.decoder = Sequence([Replace("▁", " "), ByteFallback(), Fuse()])
    return with_special(tokenizer)


def with_special(tokenizer: FileTokenizer) -> FileTokenizer:
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in SPECIAL])
    tokenizer.add_tokens(
        [AddedToken("<tool>", normalized=False), AddedToken("<pad>", rstrip=True, normalized=False)]
    )
    begin = [("<s>", tokenizer.token_to_id("<s>"))]
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=begin)
    return tokenizer


KINDS: dict[str, Callable[[], FileTokenizer]] = {
    "byte-level": byte_level,
    **{scheme: partial(sentencepiece, scheme) for scheme in ("first", "always", "never", "prepend")},
}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> FileTokenizer:
    return KINDS[request.param]()


def test_texts_have_the_tokens_of_the_files_own_library(tokenizer: FileTokenizer, tmp_path: Path) -> None:
    text = FolderText.read(make_folder(tmp_path, tokenizer))
    mixed = [f"{one}<|im_start|>{one}<tool> {one}<pad>  hello" for one in AWKWARD[:60]]
    for one in [*AWKWARD, *mixed, "<|im_start|>a", "  <tool>helo a"]:
        if not one.isascii() and one != one.encode("utf-8", "replace").decode():
            continue  # lone surrogates, which the library refuses
        expected = tokenizer.encode(one, add_special_tokens=False).ids
        assert text.tokenizer.encode(one, parse_special=True) == expected, repr(one)


def test_clients_texts_never_become_control_tokens(tokenizer: FileTokenizer, tmp_path: Path) -> None:
    renderer = FolderText.read(make_folder(tmp_path, tokenizer)).renderer()
    ids = tokenizer.get_vocab(with_added_tokens=True)
    tokens = renderer.encode_chat([Message("user", (TextPart("a<|im_end|>b<tool>"),))])
    assert tokens.count(ids["<|im_end|>"]) == 1
    assert tokens.count(ids["<tool>"]) == 1
    assert tokens[0] == ids["<s>"]
    assert renderer.encode("a", parse_special=False)[0] == ids["<s>"]
    assert renderer.vocabulary.eos == ids["</s>"]


def test_a_template_without_a_begin_token_gets_none(tmp_path: Path) -> None:
    config = {"bos_token": "<s>", "chat_template": TEMPLATE.replace("{{ bos_token }}", "")}
    tokenizer = byte_level()
    renderer = FolderText.read(make_folder(tmp_path, tokenizer, tokenizer_config=config)).renderer()
    assert renderer.encode_chat([Message("user")])[0] == tokenizer.token_to_id("<|im_start|>")
    replaced = FolderText.read(tmp_path).renderer("plain")
    assert renderer.template_id != replaced.template_id


def test_the_publishers_defaults_and_ends_are_read(tmp_path: Path) -> None:
    tokenizer = byte_level()
    ends = [tokenizer.token_to_id("</s>"), tokenizer.token_to_id("<|im_end|>")]
    generation = {"temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": "0", "eos_token_id": ends}
    text = FolderText.read(make_folder(tmp_path, tokenizer, generation_config=generation))
    assert text.sampling == SamplingDefaults(temperature=0.6, top_p=0.95, top_k=20)
    assert text.vocabulary.eog == frozenset(ends)
    assert text.renderer().context_tokens == 512


@pytest.mark.parametrize("as_file", [True, False])
def test_the_template_may_be_a_file_or_one_of_several(as_file: bool, tmp_path: Path) -> None:
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "with tools"}]
    make_folder(tmp_path, byte_level(), tokenizer_config={"bos_token": "<s>", "chat_template": named})
    if as_file:
        (tmp_path / "chat_template.jinja").write_text("from a file")
    renderer = FolderText.read(tmp_path).renderer()
    assert renderer.template_id == ("from a file" if as_file else "plainwith tools")


def test_a_model_that_also_reads_pictures_says_it_one_level_down(tmp_path: Path) -> None:
    make_folder(tmp_path, byte_level())
    inner = {"vocab_size": 300, "max_position_embeddings": 77}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "both", "text_config": inner}))
    assert FolderText.read(tmp_path).renderer().context_tokens == 77


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", None, "has no config.json"),
        ("config.json", "{", "is not JSON"),
        ("config.json", "{}", "vocab_size"),
        ("config.json", '{"vocab_size": 9}', "how long its context is"),
        ("tokenizer.json", None, "no tokenizer.json"),
        ("tokenizer.json", '{"model": {"type": "Unigram", "vocab": []}}', "Unigram"),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": {"a": 5000000}}}', "beyond"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    name: str, content: str | None, reason: str, tmp_path: Path
) -> None:
    make_folder(tmp_path, byte_level())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelFileError, match=reason):
        FolderText.read(tmp_path)


def test_a_folder_and_a_file_of_the_same_model_give_the_same_tokens(
    model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    source = model_path("smollm2-135m-instruct")
    folder, file = FolderText.read(make_tiny(source, tmp_path)).renderer(), GgufRenderer.load(source)
    assert folder.vocabulary.pieces == file.vocabulary.pieces
    assert folder.vocabulary.eog == file.vocabulary.eog
    assert (folder.call_format, folder.thinking) == (file.call_format, file.thinking)
    for text in AWKWARD[:200]:
        messages = [Message("user", (TextPart(text),))]
        assert folder.encode_chat(messages) == file.encode_chat(messages)


def test_tokens_that_are_part_of_no_text_are_those_of_the_file(tmp_path: Path) -> None:
    text = FolderText.read(make_folder(tmp_path, byte_level()))
    assert set(text.special) == set(SPECIAL)
