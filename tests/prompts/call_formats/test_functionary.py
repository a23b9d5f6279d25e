"""Functionary 3.2's calls under its grammar, behind the `>>>` with which prompts end."""

from tests.prompts.call_formats.test_grammars import ANSWER, HERMES, SUM
from tests.prompts.call_formats.written import CALLS, LONG, ONE, TOOLS, allows, model_text

from myna.decoding.grammar import check
from myna.prompts.call_formats.functionary import FunctionaryFormat
from myna.prompts.call_formats.table import FORMATS, find_by_tokens

FORM = FunctionaryFormat()
SHELL = "all\nTry this:\n>>> add(5)\n>>> x"


def test_an_answer_that_may_call_is_addressed() -> None:
    grammar = FORM.grammar(TOOLS, must_call=False, is_parallel=True)
    check(grammar)
    calls = [model_text(FORM, call) for call in CALLS]
    for text in ("all\n", "all\nhello\nworld", "all\n你好 👋🏽", SHELL, *calls, f"all\nSure.>>>{calls[0]}"):
        assert allows(grammar, text), text
    for text in ("", "hello", "sub\n{}", 'add\n{"a": "x"}', 'all\nSure.>>>add\n{"a": "x"}', f"{calls[0]}!"):
        assert not allows(grammar, text), text


def test_several_calls_also_after_text_are_possible_unless_they_are_not_wanted() -> None:
    text = model_text(FORM, ONE, LONG)
    for must_call, answer in ((True, text), (False, text), (False, f"all\nSure.>>>{text}")):
        assert allows(FORM.grammar(TOOLS, must_call=must_call, is_parallel=True), answer)
        assert not allows(FORM.grammar(TOOLS, must_call=must_call, is_parallel=False), answer)


def test_an_input_by_grammar_may_follow_text_or_another_call() -> None:
    head = FORM.call_head(SUM)
    for text in (f"{head}7", f"{model_text(FORM, ONE)}>>>{head}7", f"all\nSure.>>>{head}7"):
        assert allows(FORM.grammar([*TOOLS, SUM], must_call=False, is_parallel=True), text)
        assert not allows(FORM.grammar([*TOOLS, SUM], must_call=False, is_parallel=True), text + "x")


def test_a_schema_for_the_answer_leaves_calls_possible() -> None:
    grammar = FORM.grammar(TOOLS, must_call=False, is_parallel=True, answer=ANSWER)
    assert allows(grammar, 'all\n{"name": "add", "age": 5}')
    assert allows(grammar, model_text(FORM, ONE))
    assert not allows(grammar, "all\nhello")


def test_a_model_that_may_call_none_can_write_a_shell_but_no_call() -> None:
    """Its recipient is in the prompt."""
    grammar = FORM.no_call_grammar()
    check(grammar)
    for text in ("", "hello", SHELL):
        assert allows(grammar, text), text
    assert not allows(grammar, f"hello>>>{model_text(FORM, ONE)}")


def test_a_vocabulary_with_its_mark_does_not_show_the_format() -> None:
    """`>>>` is a word of most."""
    assert find_by_tokens({b">>>", b"a"}) is None
    assert find_by_tokens({b">>>", b"<tool_call>"}) == HERMES.name
    assert FORMATS["functionary-3.2"].marks.has_recipients
