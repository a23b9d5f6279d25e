"""True bytes, kinds and special tokens, against llama.cpp's reading of the same files."""

from collections.abc import Callable
from pathlib import Path

import llama_cpp
import pytest
from tests.prompts.gguf_files import Entry, gguf_bytes, write
from tests.prompts.oracle import open_oracle

from myna.core.errors import ModelFileError
from myna.prompts.token_pieces import TokenKind, byte_alphabet
from myna.prompts.vocabulary import Vocabulary

MODELS = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "gemma-3-270m")


@pytest.mark.parametrize("model", MODELS)
def test_every_token_has_the_bytes_and_the_part_that_llamacpp_gives_it(
    model: str, model_path: Callable[[str], Path]
) -> None:
    ours = Vocabulary.read(model_path(model))
    with open_oracle(model_path(model)) as oracle:
        assert len(ours) == oracle.num_tokens
        tokens = range(len(ours))
        assert [t for t in tokens if ours.pieces[t] != oracle.piece(t)] == []
        vocab = oracle.vocab
        assert ours.eog == {t for t in tokens if llama_cpp.llama_vocab_is_eog(vocab, t)}
        assert ours.bos == llama_cpp.llama_vocab_bos(vocab)
        assert ours.eos == llama_cpp.llama_vocab_eos(vocab)
        assert ours.adds_bos == llama_cpp.llama_vocab_get_add_bos(vocab)
        control = {t for t in tokens if llama_cpp.llama_vocab_is_control(vocab, t)}
        assert {t for t in tokens if ours.kind(t) == TokenKind.CONTROL} == control
        fill = [llama_cpp.llama_vocab_fim_pre, llama_cpp.llama_vocab_fim_suf, llama_cpp.llama_vocab_fim_mid]
        theirs = [find(vocab) for find in fill]
        assert [
            -1 if t is None else t for t in (ours.fill.prefix, ours.fill.suffix, ours.fill.middle)
        ] == theirs


def test_the_coder_model_fills_in_the_middle_and_ends_by_its_turn(model_path: Callable[[str], Path]) -> None:
    vocabulary = Vocabulary.read(model_path("qwen2.5-coder-0.5b-instruct"))
    assert vocabulary.fill.is_complete
    assert vocabulary.eot is not None
    assert vocabulary.texts[vocabulary.eot] == b"<|im_end|>"


def test_the_byte_alphabet_is_a_bijection() -> None:
    alphabet = byte_alphabet()
    assert sorted(alphabet) == list(range(256))
    assert len(set(alphabet.values())) == 256
    assert alphabet[0x20] == "Ġ"
    assert alphabet[0x0A] == "Ċ"


def small(tmp_path: Path, **changes: Entry) -> Path:
    tokens = ["<s>", "</s>", "a", "Ġb", "é", "héЖ", "<0x41>"]
    metadata: dict[str, Entry] = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, 3, 1, 1, 1, 1, 6],
        "tokenizer.ggml.merges": ["a a"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
    }
    metadata.update({f"tokenizer.ggml.{key}": value for key, value in changes.items()})
    return write(tmp_path / "v.gguf", gguf_bytes(metadata))


def test_a_token_outside_the_byte_alphabet_keeps_its_text(tmp_path: Path) -> None:
    vocabulary = Vocabulary.read(small(tmp_path))
    assert vocabulary.pieces == (b"<s>", b"</s>", b"a", b" b", b"\xe9", b"h\xe9\xd0\x96", b"A")


REFUSED: dict[str, tuple[dict[str, Entry], str]] = {
    "an unknown kind of tokenizer": (
        {"model": "wordpiece9"},
        "tokenizer model 'wordpiece9' is not supported",
    ),
    "two equal tokens": ({"tokens": ["a", "b", "a"], "token_type": [1, 1, 1]}, "same text"),
    "too few kinds": ({"token_type": [1, 1]}, "one int32 per token"),
    "kinds of another type": ({"token_type": ["a"] * 7}, "one int32 per token"),
    "too few scores": ({"scores": [1.0]}, "one number per token"),
    "a NaN score": ({"scores": [float("nan")] * 7}, "NaN"),
    "a crooked byte token": ({"token_type": [3, 3, 6, 1, 1, 1, 6]}, "invalid byte token"),
    "tokens that are numbers": ({"tokens": [1, 2, 3]}, "array of strings"),
    "BOS wanted and none there": (
        {"tokens": ["a"], "token_type": [1], "add_bos_token": True, "bos_token_id": 9},
        "lacks",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_vocabulary_that_contradicts_itself_is_refused(tmp_path: Path, name: str) -> None:
    changes, fault = REFUSED[name]
    with pytest.raises(ModelFileError, match=fault):
        Vocabulary.read(small(tmp_path, **changes))


def test_special_ids_out_of_range_are_ignored(tmp_path: Path) -> None:
    vocabulary = Vocabulary.read(small(tmp_path, eos_token_id=4_000_000, eot_token_id=77))
    assert vocabulary.eos is None
    assert vocabulary.eot is None
    assert vocabulary.eog == {1}


def test_special_tokens_that_are_absurdly_long_are_refused(tmp_path: Path) -> None:
    path = small(tmp_path, tokens=["<" * 300, "b"], token_type=[3, 1])
    with pytest.raises(ModelFileError, match="too long"):
        Vocabulary.read(path)
