"""Text through a real model's tokens and back: what a client would see of it, piece by piece."""

import random
from codecs import utf_8_decode
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.decoding.detokenizing import ChoiceText
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary

ALPHABET = "漢字かな한국어éßøñ👩‍💻🇨🇭🏳️‍🌈 \n\tabc𝔘\u0301"


@pytest.fixture(scope="module")
def vocabulary(model_path: Callable[[str], Path]) -> Vocabulary:
    return Vocabulary.read(model_path("smollm2-135m-instruct"))


@pytest.fixture(scope="module")
def tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    return Tokenizer(vocabulary)


def pieces(vocabulary: Vocabulary, tokens: list[int], stops: list[str]) -> list[str]:
    text = ChoiceText(vocabulary.pieces, stops)
    shown = [text.push(token) for token in tokens if not text.is_stopped]
    return shown if text.is_stopped else [*shown, text.finish()]


def test_text_streams_whole(vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    @given(st.text(alphabet=ALPHABET, max_size=40))
    def check(text: str) -> None:
        tokens = tokenizer.encode(text, parse_special=False)
        shown = pieces(vocabulary, tokens, [])
        assert "".join(shown) == text
        assert not any("\ufffd" in piece for piece in shown)

    check()


def test_any_tokens_show_what_their_bytes_decode_to(vocabulary: Vocabulary) -> None:
    rng = random.Random(0)
    for _ in range(300):
        tokens = rng.choices(range(len(vocabulary)), k=rng.randrange(30))
        whole = utf_8_decode(b"".join(vocabulary.pieces[token] for token in tokens), "replace", False)[0]
        assert "".join(pieces(vocabulary, tokens, [])) == whole


def test_stop_strings_cut_real_tokens(vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
    text = "def f(x):\n    return x\n\n\ndef 漢字(y):\n    return '👩‍💻'\n"
    tokens = tokenizer.encode(text, parse_special=False)
    for start in range(len(text)):
        for size in (1, 2, 5, 9):
            stop = text[start : start + size]
            assert "".join(pieces(vocabulary, tokens, [stop, "never"])) == text[: text.index(stop)]
