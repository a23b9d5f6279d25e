"""Our tokenisation against llama.cpp's, on the catalog's models and on files that only tests would write."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.prompts.awkward import awkward_strings
from tests.prompts.oracle import Oracle, open_oracle

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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60), parse_special=st.booleans())
def test_any_text_becomes_the_tokens_that_llamacpp_makes(pair: Pair, text: str, parse_special: bool) -> None:
    assert difference(pair, text, parse_special=parse_special) is None
