"""Every word of a conversation shows in the prompt exactly once and in order, or the request is refused by
name. Where a template can render the conversation itself, the prompt is its own rendering."""

from pathlib import Path

import pytest
from tests.prompts.conversations import CONVERSATIONS
from tests.prompts.template_gate import in_process, outcomes, template_paths
from tests.prompts.templates_page import pages

MARK = "\ue000"
# Templates that insist on a question first, and what they refuse.
BEGINS_WITH_USER = {
    "Mistral-Small-3.2-24B-Instruct-2506",
    "google-gemma-2-2b-it",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "mistralai-Mistral-Nemo-Instruct-2407",
}


def test_there_are_enough_of_both() -> None:
    assert len(template_paths()) >= 70
    assert len(CONVERSATIONS) >= 30


@pytest.mark.parametrize("path", template_paths(), ids=lambda path: path.stem)
def test_no_template_loses_a_word_of_any_conversation(path: Path) -> None:
    results = outcomes(path)
    assert {name: result for name, result in results.items() if result.outcome == "wrong"} == {}
    refused = {name: result.error for name, result in results.items() if result.outcome == "refused"}
    assert set(refused) == ({"an assistant first"} if path.stem in BEGINS_WITH_USER else set())
    for error in refused.values():
        assert error is not None
        assert "must alternate" in error.message
        assert error.param == "messages.[0]"


@pytest.mark.parametrize("path", template_paths(), ids=lambda path: path.stem)
def test_marks_in_look_alikes_change_nothing_else(path: Path) -> None:
    template = in_process(path.read_text(encoding="utf-8"))
    for name in ("special tokens", "a call with tags in arguments and result"):
        made = CONVERSATIONS[name]
        plain = template.render(made.messages, tools=made.tools)
        marked = template.render(made.messages, tools=made.tools, wrap=_with_marks)
        assert marked != plain
        assert marked.replace(MARK, "").replace(r"\ue000", "") == plain  # some templates write JSON in ASCII


def _with_marks(text: str) -> str:
    return text.replace("<|im_end|>", f"<{MARK}|im_end|>").replace("<|im_start|>", f"<{MARK}|im_start|>")


def test_the_tables_of_the_page_are_current() -> None:
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, "write it again with: scripts/templates"
