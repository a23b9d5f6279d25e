"""Detects how a model's chat template handles thoughts: their marks, and the variables that ask for them.

Renders conversations with a thought and prompts with switches, and looks at what changes. `render_process`
runs it.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from myna.core import harmony
from myna.core.renderer import Switches, Thinking
from myna.prompts.thought_marks import Render, ThoughtMarks, find_marks, is_closed, is_opened, question

# Marks as model families write them, for templates that only remove earlier thoughts.
KNOWN_MARKS: Final = (
    ThoughtMarks("<think>", "</think>"),
    ThoughtMarks("[THINK]", "[/THINK]"),
    ThoughtMarks("<thought>", "</thought>"),
    ThoughtMarks("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", close="[END FINAL RESPONSE]"),
)
# The variables that templates check; a template ignores those it doesn't know.
THINK: Final[Switches] = MappingProxyType(
    {"enable_thinking": True, "thinking": True, "thinking_mode": "enabled"}
)
DONT_THINK: Final[Switches] = MappingProxyType(
    {"enable_thinking": False, "thinking": False, "thinking_mode": "disabled"}
)
LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh", "max")
_EFFORTS: Final = ("reasoning_effort", "thinking_effort", "reasoning_strength")
_WITHOUT: Final[tuple[tuple[str, object], ...]] = (
    ("reasoning_effort", "none"), ("reasoning_effort", "no_think"), ("reasoning_effort", "minimal"),
    ("reasoning_effort", "low"), ("thinking_budget", 0),
)  # fmt: skip
_USUAL_LEVELS: Final = ("low", "medium", "high")
_ANY_LEVEL: Final = "probe-effort"
_BUDGET: Final = "thinking_budget"


def find_thinking(source: str, render: Render) -> Thinking | None:
    """`render` renders messages with additional variables, with or without the beginning of an answer, and
    returns "" where that fails. None for a template without thoughts."""
    marks = find_marks(render, THINK, DONT_THINK)
    if marks is None:
        marks = next((known for known in KNOWN_MARKS if known.end in source), None)
    return None if marks is None else _Probe(render, marks).thinking()


class _Probe:
    """The prompts of a template for a simple question."""

    def __init__(self, render: Render, marks: ThoughtMarks) -> None:
        self._render = render
        self._marks = marks

    def thinking(self) -> Thinking:
        marks, default, asked = self._marks, self._write({}), self._write(THINK)
        think: Mapping[str, object] = {}
        skip = {} if asked != self._write(DONT_THINK) else self._skip()
        if asked == default and self._is_closed(default):
            think = self._think()
            asked = self._write({**THINK, **think})
        efforts = dict(self._efforts(think))
        return Thinking(
            begin=marks.begin,
            end=marks.end,
            can_skip=skip is not None,
            is_default=skip is None or default == asked,
            is_open=is_opened(asked, marks.begin),
            answer=marks.answer,
            close=marks.close,
            is_harmony=marks.begin == harmony.ANALYSIS,
            think=think,
            skip=skip or {},
            efforts=efforts,
            budget=self._budget(),
            ending=marks.ending,
        )

    def _write(self, switches: Mapping[str, object]) -> str:
        return self._render([question()], switches, True)

    def _is_closed(self, prompt: str) -> bool:
        return is_closed(prompt, self._marks)

    def _skip(self) -> dict[str, object] | None:
        """The variable that skips the thought in a template that has no switch for it."""
        found = (
            {name: value}
            for name, value in _WITHOUT
            if self._is_closed(self._write({**DONT_THINK, name: value}))
        )
        return next(found, None)

    def _think(self) -> dict[str, object]:
        """The variable that asks for a thought where there is none by default."""
        found: Iterator[dict[str, object]] = (
            {name: level}
            for name in _EFFORTS
            for level in ("high", "medium", "max")
            if (text := self._write({**THINK, name: level})) and not self._is_closed(text)
        )
        return next(found, {})

    def _efforts(self, think: Mapping[str, object]) -> Iterator[tuple[str, Switches]]:
        """The levels of effort that the template knows, with the variables that ask for each."""
        for name in _EFFORTS:
            texts = {level: self._write({**THINK, **think, name: level}) for level in LEVELS}
            known = [level for level, text in texts.items() if text and not self._is_closed(text)]
            if len({texts[level] for level in known}) < 2:
                continue
            if _ANY_LEVEL in self._write({**THINK, **think, name: _ANY_LEVEL}):
                known = [level for level in known if level in _USUAL_LEVELS]  # it writes what it is given
            yield from ((level, {name: level}) for level in known)
            return

    def _budget(self) -> str:
        texts = {self._write({**THINK, _BUDGET: num_tokens}) for num_tokens in (512, 8192)}
        return _BUDGET if len(texts) > 1 else ""
