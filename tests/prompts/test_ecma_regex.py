"""Regular expressions of schemas mean in a grammar what they mean in JavaScript, or are refused by name."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from myna.prompts.ecma_regex import UnsupportedPattern, translate

TOKENIZER = LLTokenizer("byte")


def matcher_of(pattern: str) -> LLMatcher:
    schema = {"type": "string", "pattern": translate(pattern)}
    return LLMatcher(TOKENIZER, json.dumps({"grammars": [{"json_schema": schema}]}), log_level=0)


def allows(matcher: LLMatcher, text: str) -> bool:
    """Whether the grammar allows a JSON string of that text."""
    trial, tokens = matcher.deep_copy(), TOKENIZER.tokenize_str(json.dumps(text, ensure_ascii=False))
    return bool(trial.try_consume_tokens(tokens) == len(tokens) and trial.is_accepting())


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        ("b", ["abc", "b"], ["", "ac"]),
        ("^a|b$", ["ax", "xb"], ["xa", "bx"]),
        ("(?:^|,)x", ["x", "a,x"], ["ax"]),
        ("^$", [""], ["a"]),
        (r"^\cJ\0$", ["\n\0"], ["J0"]),
        ("^[^]$", ["a", "\n", "😀"], ["", "ab"]),
        ("^a{,3}$", ["a{,3}"], ["", "aa"]),
        ("^a{2$", ["a{2"], ["aa"]),
        (r"^\d$", ["7"], ["٣", "a"]),
        (r"^\w$", ["a", "_"], ["é", "-"]),
        (r"^[^\W_]$", ["a"], ["_", "-"]),
        (r"^\s$", ["\ufeff", "\u2028", "\t"], ["\x85", "a"]),
        ("^.$", ["\x85", "a"], ["\n", "\r", "\u2028"]),
        (r"^\ud83d\ude00\u{1F600}\x41\u0041$", ["😀😀AA"], ["😀"]),
        ("^[\ud83d\ude00-\ud83d\ude4f]$".encode("utf-16", "surrogatepass").decode("utf-16"), ["😃"], ["x"]),
        (r"^[\ud83d\ude00-\ud83d\ude4f]$", ["😃"], ["x"]),
        (r"^[\b]$", ["\b"], ["b"]),
        (r"^[\w-.]$", ["-", "a", "."], ["+"]),
        ("^[a&&b]$", ["a", "&", "b"], ["c"]),
        ("^[a[b]$", ["[", "a"], ["]"]),
        ("^[[:a:]]$", ["a]", "[]"], ["a"]),
        (r"^\p{Script=Greek}\p{L}$", ["αb"], ["ab", "α1"]),
        (r"^(?<year>\d{4})-(?:\d\d)??$", ["2024-", "2024-05"], ["24-05"]),
        (r"^(?i:ab)c$", ["ABc"], ["abC"]),
        (r"^# \"\\~&<$", ['# "\\~&<'], ["#"]),
        # Written for Python or Rust; not valid in JavaScript.
        (r"\A(?P<a>x)\z", ["x"], ["xx"]),
        ("(?i)^ab$", ["AB"], ["b"]),
        ("(?s)^a.b$", ["a\nb"], ["ab"]),
    ],
)
def test_a_pattern_means_what_it_means_in_javascript(
    pattern: str, right: list[str], wrong: list[str]
) -> None:
    matcher = matcher_of(pattern)
    assert [text for text in right if not allows(matcher, text)] == []
    assert [text for text in wrong if allows(matcher, text)] == []


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)b", "look-ahead"),
        ("(?!a)b", "look-ahead"),
        ("(?<=a)b", "look-behind"),
        ("(?<!a)b", "look-behind"),
        (r"\bword", r"word boundaries (\b)"),
        (r"a\Bb", r"word boundaries (\B)"),
        (r"(a)\1", r"back-references (\1)"),
        (r"(?<x>a)\k<x>", r"back-references (\k)"),
        ("a$b", "anchors"),
        ("a^b", "anchors"),
        ("(^a)*b", "an anchor (^ or $) can't be repeated"),
        ("[]", "an empty class"),
        (r"\ud83d", "surrogate"),
        ("(?>a)", "group"),
        ("(a", "unmatched '('"),
        ("a)", "unmatched ')'"),
        ("[a", "unmatched '['"),
        ("*a", "repetition of nothing"),
        ("a**", "repeated without a group"),
        ("a{3,1}", "out of range"),
        ("a{" + "9" * 5000 + "}", "out of range"),
        ("[b-a]", "range out of order"),
        (r"\e", r"unknown escape (\e)"),
        (r"\c1", r"unknown escape (\c)"),
        ("\\", "unknown escape"),
        (r"\pL", "property in braces"),
        (r"\u{110000}", "beyond Unicode"),
        ("(" * 5000, "nested"),
    ],
)
def test_what_has_no_translation_is_refused_by_name(pattern: str, reason: str) -> None:
    with pytest.raises(UnsupportedPattern, match=re.escape(reason)):
        translate(pattern)


SHARED = ["a", "b", ".", "-", r"\d", r"\w", r"\W", r"\.", "[ab]", "[^a]", r"[\d-]", "é", "]", r"\n", "#", " "]
ATOM = st.builds(
    "{}{}".format, st.sampled_from(SHARED), st.sampled_from(["", "*", "+", "?", "{2}", "{1,2}", "*?"])
)


def anchored(inside: str, start: str, end: str) -> str:
    return f"{start}(?:{inside}){end}"


PATTERNS = st.builds(
    anchored,
    st.recursive(
        st.lists(ATOM, max_size=3).map("".join),
        lambda part: st.lists(part, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        max_leaves=4,
    ),
    st.sampled_from(["", "^"]),
    st.sampled_from(["", "$"]),
)


@given(PATTERNS, st.lists(st.text("ab1-.é]# _", max_size=4), min_size=4, max_size=4))
def test_a_pattern_allows_what_it_matches(pattern: str, texts: list[str]) -> None:
    """Python's expressions mean the same where this test uses them."""
    matcher = matcher_of(pattern)
    for text in texts:
        assert allows(matcher, text) == bool(re.search(pattern, text, re.ASCII)), (pattern, text)


@given(st.text("ab1^$\\.*+?()[]{}|-,:=!<>dDwWsSbBxucpkP{}é😀\ud83d\ude00", max_size=20))
def test_no_text_breaks_the_translation(pattern: str) -> None:
    try:
        translated = translate(pattern)
    except UnsupportedPattern as exc:
        assert str(exc)
    else:
        translated.encode()
