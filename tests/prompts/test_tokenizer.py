"""Our tokenisation against llama.cpp's, on the catalog's models and on files that only tests would write."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.prompts.awkward import awkward_strings
from tests.prompts.gguf_files import Entry, gguf_bytes, write
from tests.prompts.oracle import Oracle, open_oracle

from myna.core.errors import ModelFileError
from myna.prompts.bpe import UnsupportedTokenizer
from myna.prompts.gguf import Header, read_header
from myna.prompts.special_match import SpecialMatcher
from myna.prompts.token_pieces import byte_alphabet
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary

MODELS = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "gemma-3-270m")
Pair = tuple[Tokenizer, Oracle]


@pytest.fixture(scope="module", params=MODELS)
def pair(request: pytest.FixtureRequest, model_path: Callable[[str], Path]) -> Iterator[Pair]:
    path = model_path(request.param)
    with open_oracle(path) as oracle:
        yield Tokenizer(Vocabulary.read(path)), oracle


def difference(pair: Pair, text: str, *, parse_special: bool) -> str | None:
    ours = pair[0].encode(text, parse_special=parse_special)
    theirs = pair[1].encode(text, parse_special=parse_special)
    return None if ours == theirs else f"{text[:80]!r}: {ours[:40]} but llama.cpp has {theirs[:40]}"


@pytest.mark.parametrize("parse_special", [False, True])
def test_awkward_strings_become_the_tokens_that_llamacpp_makes(pair: Pair, parse_special: bool) -> None:
    texts = awkward_strings()
    assert len(texts) >= 500
    differences = [d for text in texts if (d := difference(pair, text, parse_special=parse_special))]
    assert differences == []


@given(text=st.text(max_size=60), parse_special=st.booleans())
def test_any_text_becomes_the_tokens_that_llamacpp_makes(pair: Pair, text: str, parse_special: bool) -> None:
    assert difference(pair, text, parse_special=parse_special) is None


@pytest.fixture(scope="module")
def small(model_path: Callable[[str], Path]) -> Header:
    return read_header(model_path("smollm2-135m-instruct"))


def with_pre_tokenizer(header: Header, name: str, folder: Path) -> Path:
    """The vocabulary of a real model under another pre-tokenizer's name, without weights."""
    metadata: dict[str, Entry] = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in header.metadata.items()
    }
    metadata["tokenizer.ggml.pre"] = name
    return write(folder / f"{name}.gguf", gguf_bytes(metadata))


def test_an_unknown_pre_tokenizer_is_the_engines_business(small: Header, tmp_path: Path) -> None:
    path = with_pre_tokenizer(small, "of-tomorrow", tmp_path)
    vocabulary = Vocabulary.read(path)
    with pytest.raises(UnsupportedTokenizer, match="of-tomorrow"):
        Tokenizer(vocabulary)
    asked: list[str] = []

    def engine(text: str) -> list[int]:
        asked.append(text)
        return [7] * len(text)

    tokenizer = Tokenizer(vocabulary, engine)
    assert tokenizer.is_engines
    end = vocabulary.texts.index(b"<|im_end|>")
    assert tokenizer.encode("ab<|im_end|>c", parse_special=True) == [7, 7, end, 7]
    assert tokenizer.encode("<|im_end|>", parse_special=False) == [7] * 10
    assert asked == ["ab", "c", "<|im_end|>"]


def test_a_batch_is_its_texts_one_by_one(pair: Pair) -> None:
    texts = awkward_strings(60)
    rows = pair[0].encode_batch(texts, parse_special=True)
    assert rows == [pair[0].encode(text, parse_special=True) for text in texts]
    assert pair[0].encode_batch([], parse_special=True) == []


def test_the_lower_bound_holds(pair: Pair) -> None:
    for text in awkward_strings(200):
        assert pair[0].least_tokens(text) <= len(pair[0].encode(text, parse_special=True))
    assert pair[0].least_tokens("x" * 10_000_000) > 32_768


def test_lone_surrogates_are_replaced(pair: Pair) -> None:
    tokenizer = pair[0]
    expected = tokenizer.encode("a\ufffdb", parse_special=False)
    assert tokenizer.encode("a\ud800b", parse_special=False) == expected


@given(
    tokens=st.lists(st.text(alphabet="ab<>|", min_size=1, max_size=5), min_size=1, max_size=8, unique=True),
    text=st.text(alphabet="ab<>|", max_size=30),
)
def test_the_longest_special_token_wins_wherever_it_is(tokens: list[str], text: str) -> None:
    matcher = SpecialMatcher((token, number) for number, token in enumerate(tokens))
    pieces: list[str | int] = [text] if text else []
    for token in sorted(tokens, key=len, reverse=True):
        cut: list[str | int] = []
        for piece in pieces:
            if isinstance(piece, int):
                cut.append(piece)
                continue
            for i, part in enumerate(piece.split(token)):
                cut += ([tokens.index(token)] if i else []) + ([part] if part else [])
        pieces = cut
    assert matcher.cut(text) == pieces
    assert (text in matcher) == any(token in text for token in tokens)


def test_special_tokens_nested_in_each_other_are_matched_or_refused_by_name() -> None:
    runs = SpecialMatcher(("a" * size, size) for size in range(1, 33))
    assert runs.cut("a" * 70) == [32, 32, 6]
    with pytest.raises(ModelFileError, match="share too long prefixes"):
        SpecialMatcher(("a" * size, size) for size in range(1, 1000))


@pytest.mark.parametrize("others", [[], ["two\nlines"]])
def test_merges_are_cut_at_the_first_space_that_has_something_before_it(
    tmp_path: Path, others: list[str]
) -> None:
    """With a token that has a line break, texts are read one by one instead of all at once."""
    tokens = [*byte_alphabet().values(), "ab", "abc", " ", " d", *others]
    merges = ["a b", "ab c", "a b", "nothing", "", " ", " d", "  d", *others]
    path = write(
        tmp_path / "m.gguf",
        gguf_bytes(
            {
                "tokenizer.ggml.model": "gpt2",
                "tokenizer.ggml.pre": "gpt-2",
                "tokenizer.ggml.tokens": tokens,
                "tokenizer.ggml.merges": merges,
            }
        ),
    )
    tokenizer = Tokenizer(Vocabulary.read(path))
    assert tokenizer.encode("abc", parse_special=False) == [tokens.index("abc")]
    assert tokenizer.encode("ba", parse_special=False) == [tokens.index("b"), tokens.index("a")]
