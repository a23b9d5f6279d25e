"""Whether an answer begins inside a thought is read off its prompt."""

import pytest

from myna.core.renderer import Thinking
from myna.core.requests import Thought
from myna.generation.reasoning import as_prompted, reasoning_for

OPEN = Thought("<think>", "</think>", is_open=True)
FREE = Thought("<think>", "</think>", max_tokens=9)
SKIPPED = Thought("<think>", "</think>", is_optional=True)
CHANNELS = Thought("<|think|>", "<|end|><|begin|>assistant", max_tokens=9)


@pytest.mark.parametrize(
    ("thought", "end", "expected"),
    [
        (OPEN, "<|assistant|><think>\n", OPEN),
        (OPEN, "<|assistant|>", OPEN),
        (OPEN, "<|assistant|><think></think>", SKIPPED),
        (OPEN, "<|assistant|></think>", SKIPPED),
        (FREE, "<|assistant|><think>\n\n</think>\n\n", SKIPPED),
        (FREE, "<|assistant|><think>", Thought("<think>", "</think>", is_open=True, max_tokens=9)),
        (CHANNELS, "<|end|><|begin|>assistant", CHANNELS),
        (None, "<think>", None),
    ],
)
def test_the_prompts_end_decides(thought: Thought | None, end: str, expected: Thought | None) -> None:
    assert as_prompted(thought, end) == expected


def test_marks_around_the_answer_remain_without_a_thought() -> None:
    marked = Thinking(
        "<t>",
        "</t>",
        can_skip=True,
        is_default=True,
        is_open=False,
        answer="<a>",
        close="</a>",
        ending="</m>",
    )
    thought = reasoning_for("none", marked).thought
    assert thought == Thought(
        "<t>", "</t>", is_optional=True, max_tokens=1, answer="<a>", close="</a>", ending="</m>"
    )
    plain = Thinking("<t>", "</t>", can_skip=True, is_default=True, is_open=False)
    assert reasoning_for("none", plain).thought is None
