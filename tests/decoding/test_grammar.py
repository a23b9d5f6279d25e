"""Grammars over a real vocabulary: what a mask allows always ends in an answer that follows it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from llguidance import LLMatcher

from myna.core.errors import InvalidRequest
from myna.core.requests import Sampling
from myna.decoding.grammar import Grammar, Grammars, check, regex_grammar
from myna.decoding.sampling import ChoiceSampling, Draw, RequestSampling, RowStatus, SamplingBatch, sample
from myna.decoding.sampling_reference import allowed
from myna.prompts.bpe import UnsupportedTokenizer
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "名前": {"type": "string", "maxLength": 5},
        "sizes": {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 40}, "maxItems": 3},
        "kind": {"enum": ["a", "b"]},
    },
    "required": ["名前", "sizes", "kind"],
    "additionalProperties": False,
}
COMPACT = {"x-guidance": {"whitespace_flexible": False}}


def schema(value: dict[str, object]) -> str:
    return LLMatcher.grammar_from_json_schema(json.dumps(value | COMPACT))


def regex(pattern: str) -> str:
    return regex_grammar(pattern)


@pytest.fixture(scope="module")
def vocabulary(model_path: Callable[[str], Path]) -> Vocabulary:
    return Vocabulary.read(model_path("smollm2-135m-instruct"))


@pytest.fixture(scope="module")
def tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    return Tokenizer(vocabulary)


@pytest.fixture(scope="module")
def grammars(vocabulary: Vocabulary, tokenizer: Tokenizer) -> Grammars:
    controls = [token for token in range(len(vocabulary)) if vocabulary.is_control(token)]
    return Grammars(
        vocabulary.pieces,
        controls,
        vocabulary.eog,
        lambda text: tokenizer.encode(text, parse_special=False),
        len(vocabulary) + 40,
    )


def write(grammars: Grammars, grammar: Grammar, vocabulary: Vocabulary, seed: int) -> bytes:
    """An answer drawn from noise under the grammar's masks."""
    rng = np.random.default_rng(seed)
    answer = b""
    choice = ChoiceSampling(RequestSampling(Sampling(seed=seed)), 0, None)
    for position in range(300):
        if grammar.must_stop:
            return answer
        logits = rng.normal(size=(1, len(vocabulary) + 40)).astype(np.float32)
        drawn = sample(logits, SamplingBatch.of([Draw(0, choice, position, 0)], grammars.masks([grammar])))
        token = int(drawn.tokens[0])
        assert drawn.status[0] == RowStatus.OK
        if token in vocabulary.eog:
            assert grammar.may_stop
            return answer
        assert grammar.advance(token)
        answer += vocabulary.pieces[token]
    pytest.fail("the grammar did not end")


def take(grammar: Grammar, tokenizer: Tokenizer, text: str) -> bool:
    return all(grammar.advance(token) for token in tokenizer.encode(text, parse_special=False))


def test_whatever_is_drawn_follows_the_schema(grammars: Grammars, vocabulary: Vocabulary) -> None:
    answers = set()
    for seed in range(12):
        answer = write(grammars, grammars.compile(schema(SCHEMA)), vocabulary, seed)
        value = json.loads(answer)
        assert list(value) == ["名前", "sizes", "kind"]
        assert len(value["名前"]) <= 5
        assert len(value["sizes"]) <= 3
        assert all(3 <= size <= 40 for size in value["sizes"])
        assert value["kind"] in ("a", "b")
        answers.add(answer)
    assert len(answers) == 12


def test_whatever_is_drawn_follows_the_regex(grammars: Grammars, vocabulary: Vocabulary) -> None:
    for seed in range(8):
        answer = write(grammars, grammars.compile(regex(r"[a-c]{2,9}(é|漢)?")), vocabulary, seed)
        assert re.fullmatch(r"[a-c]{2,9}(é|漢)?", answer.decode())


def test_it_knows_when_it_may_and_must_stop(grammars: Grammars, tokenizer: Tokenizer) -> None:
    grammar = grammars.compile(regex("ab(cd)?"))
    assert not grammar.may_stop
    assert take(grammar, tokenizer, "ab")
    assert (grammar.may_stop, grammar.must_stop) == (True, False)
    assert take(grammar, tokenizer, "cd")
    assert (grammar.may_stop, grammar.must_stop) == (True, True)


def test_the_end_is_allowed_only_where_the_answer_is_whole(
    grammars: Grammars, tokenizer: Tokenizer, vocabulary: Vocabulary
) -> None:
    grammar = grammars.compile(regex("ab"))
    ends = list(vocabulary.eog)
    assert not allowed(grammars.masks([grammar])[0], len(vocabulary))[ends].any()
    assert take(grammar, tokenizer, "ab")
    mask = allowed(grammars.masks([grammar])[0], len(vocabulary) + 40)
    assert np.flatnonzero(mask).tolist() == sorted(ends)
    assert grammar.advance(ends[0])


def test_a_token_that_breaks_the_grammar_leaves_nothing(grammars: Grammars, tokenizer: Tokenizer) -> None:
    broken, sound = (grammars.compile(regex("ab")) for _ in range(2))
    assert not take(broken, tokenizer, "x")
    assert broken.is_broken
    assert broken.error
    assert not broken.may_stop
    assert not broken.must_stop
    masks = grammars.masks([broken, sound])
    assert not masks[0].any()
    assert masks[1].any()


def test_copies_go_their_own_way(grammars: Grammars, tokenizer: Tokenizer) -> None:
    first = grammars.compile(regex("a(b|c)"))
    assert take(first, tokenizer, "a")
    second = first.copy()
    assert take(first, tokenizer, "b")
    assert first.must_stop
    assert not second.must_stop
    assert take(second, tokenizer, "c")
    assert not take(grammars.compile(regex("a(b|c)")), tokenizer, "b")


def test_rewinding_undoes_drafted_tokens(grammars: Grammars, tokenizer: Tokenizer) -> None:
    grammar = grammars.compile(regex("[0-9]x[0-9]x"))
    before = grammars.masks([grammar]).tobytes()
    for text in ("1", "x"):
        assert take(grammar, tokenizer, text)
    assert grammar.rewind(2)
    assert grammars.masks([grammar]).tobytes() == before


@pytest.mark.parametrize(
    "grammar",
    [
        "",
        "not a grammar",
        "{}",
        "[1",
        regex("a("),
        regex("(?=a)b"),
        schema({"type": "nonsense"}),
        schema({"type": "string", "pattern": "("}),
        schema({"$ref": "#/nowhere"}),
        schema({"type": "array", "uniqueItems": True, "items": {}}),
    ],
)
def test_what_is_not_a_grammar_is_refused(grammars: Grammars, grammar: str) -> None:
    with pytest.raises(InvalidRequest, match="The grammar can't be followed"):
        grammars.compile(grammar)
    with pytest.raises(InvalidRequest, match="The grammar can't be followed"):
        check(grammar)


def test_a_good_grammar_passes_the_check_without_a_vocabulary() -> None:
    check(schema(SCHEMA))
    check(regex("a+"))


def test_control_tokens_are_not_text(grammars: Grammars, vocabulary: Vocabulary) -> None:
    grammar = grammars.compile(regex(r"(.|\n)*"))
    mask = allowed(grammars.masks([grammar])[0], len(vocabulary) + 40)
    controls = {token for token in range(len(vocabulary)) if vocabulary.is_control(token)}
    assert not mask[list(controls - vocabulary.eog)].any()
    assert not mask[len(vocabulary) :].any()
    assert mask.sum() > len(vocabulary) * 0.9


def test_a_model_whose_cuts_are_unknown_follows_grammars_too(vocabulary: Vocabulary) -> None:
    def unknown(text: str) -> list[int]:
        raise UnsupportedTokenizer(f"no idea how to cut {text!r}")

    grammars = Grammars(vocabulary.pieces, [], vocabulary.eog, unknown, len(vocabulary) + 40)
    answer = write(grammars, grammars.compile(schema(SCHEMA)), vocabulary, 1)
    assert list(json.loads(answer)) == ["名前", "sizes", "kind"]


def test_a_model_without_an_end_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no end-of-text token"):
        Grammars([b"a"], [], [], lambda text: [0], 1)
