"""What a chat template shows about thoughts, and which switches it then gets."""

from tests.prompts import templates
from tests.prompts.test_template import USER, features, template

from myna.core.conversation import Message
from myna.core.renderer import Thinking
from myna.prompts.thinking import DONT_THINK, THINK


def test_a_template_without_thoughts_has_none() -> None:
    assert features(templates.CHATML).thinking is None


def test_a_hybrid_model_thinks_unless_that_is_switched_off() -> None:
    assert features(templates.HYBRID).thinking == Thinking("<think>", "</think>", True, True, False)
    made = template(templates.HYBRID)
    assert made.render([USER], switches=DONT_THINK).endswith("<think>\n\n</think>\n\n")
    assert made.render([USER], switches=THINK) == made.render([USER])


def test_some_think_only_when_asked() -> None:
    found = features(templates.ON_REQUEST).thinking
    assert found == Thinking("<think>", "</think>", True, False, True)


def test_some_prompts_end_inside_the_thought() -> None:
    found = features(templates.ALWAYS).thinking
    assert found is not None
    assert (found.is_open, found.can_skip, found.is_default, found.is_known) == (True, False, True, True)


def test_a_template_that_only_drops_old_thoughts_proves_nothing() -> None:
    found = features(templates.DROPS_OLD).thinking
    assert found is not None
    assert not found.is_known


def test_effort_in_the_templates_own_words_is_seen() -> None:
    found = features(templates.EFFORT).thinking
    assert found is not None
    assert list(found.efforts) == ["low", "medium", "high"]
    assert found.efforts["low"] == {"reasoning_effort": "low"}
    assert (found.begin, found.end) == ("[THINK]", "[/THINK]")


def test_earlier_thoughts_reach_the_templates_that_show_them() -> None:
    back = Message.of("assistant", "4", reasoning="two and two")
    assert "<think>two and two</think>4" in template(templates.HYBRID).render([USER, back, USER])
