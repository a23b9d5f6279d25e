"""Whether an answer begins inside a thought is read off its prompt."""

import pytest

from myna.core.requests import Thought
from myna.generation.reasoning import as_prompted

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
