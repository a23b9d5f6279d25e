"""A custom tool's input: the text that JSON spells, in whatever pieces; grammars as lark takes them."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from myna.decoding.grammar import check
from myna.prompts.custom_input import InputReader, as_arguments, grammar_tool


@given(st.text(max_size=40), st.booleans(), st.lists(st.integers(0, 400), max_size=20))
@example('🙂"\\', True, list(range(60)))
def test_any_split_reads_the_same_text(text: str, is_ascii: bool, cuts: list[int]) -> None:
    data = json.dumps({"input": text}, ensure_ascii=is_ascii)
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    reader = InputReader()
    pieces = [reader.feed(data[start:end]) for start, end in pairwise(ends)]
    assert "".join(pieces) == text
    for piece in pieces:
        piece.encode()  # half a pair of surrogates is never emitted


def test_layout_before_the_text_does_not_matter() -> None:
    reader = InputReader()
    assert reader.feed('  {\n "input"') + reader.feed(' :  "a') + reader.feed('b"}') == "ab"


def test_an_earlier_input_is_shown_as_arguments() -> None:
    assert json.loads(as_arguments("你\n")) == {"input": "你\n"}


@pytest.mark.parametrize("pattern", [r"[0-9]+/[a-z]", r"a\/b", "line\nbreak", r"\\/", r"[/]"])
def test_a_regular_expression_is_between_slashes(pattern: str) -> None:
    tool = grammar_tool("x", "", "regex", pattern)
    check(json.dumps({"grammars": [{"lark_grammar": tool.grammar}]}))
    assert re.fullmatch(r"start: /.*/\n", tool.grammar)
