"""Maps a reasoning effort to template variables and a token limit for the reasoning. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from myna.core.constraints import AnyText, Constraint, FinalChannel, NoToolCalls, ToolCalls
from myna.core.renderer import NO_SWITCHES, Switches, Thinking
from myna.core.requests import Thought
from myna.prompts.thinking import DONT_THINK, LEVELS, THINK

EFFORTS: Final = ("none", *LEVELS)
# Limits on reasoning tokens, for models whose template does not support effort; 0: no limit.
BUDGETS: Final[Mapping[str, int]] = MappingProxyType(
    {"minimal": 256, "low": 1024, "medium": 4096, "high": 16384, "xhigh": 0, "max": 0}
)
PROMPT_END_TOKENS: Final = 32  # no mark has more
_LEAST_TOKENS: Final = 1  # of a thought that begins in any case


@dataclass(frozen=True, slots=True)
class Reasoning:
    """`switches` are variables for the template; `thought` None: the output is answer from the first
    token."""

    switches: Switches
    thought: Thought | None

    def constraint(self, answer: Constraint | None) -> Constraint | None:
        """The constraint of the whole generation, given the answer's: a limited thought needs a grammar for
        what follows it, and an answer in a channel one that also writes the channels."""
        thought = self.thought
        if thought is not None and thought.is_harmony:
            if answer is None or isinstance(answer, ToolCalls | NoToolCalls | FinalChannel):
                return answer
            return FinalChannel(answer)
        is_limited = thought is not None and thought.max_tokens > 0
        return AnyText() if is_limited and answer is None else answer


NO_REASONING: Final = Reasoning(NO_SWITCHES, None)


def reasoning_for(effort: str | None, thinking: Thinking | None) -> Reasoning:
    """What the effort means for a model with this kind of thinking. A model that doesn't think, or that isn't
    known to, ignores it."""
    if thinking is None:
        return NO_REASONING
    if not thinking.is_known or (effort is None and not thinking.is_default):
        # The template may only drop earlier thoughts; its model may still think.
        return Reasoning(NO_SWITCHES, _thought(thinking, is_optional=True))
    if effort is None:
        return Reasoning(NO_SWITCHES, _thought(thinking, is_open=thinking.is_open))
    if effort == "none":
        return without_thought(thinking)
    switches = {**THINK, **thinking.think}
    if thinking.efforts:
        switches |= thinking.efforts[_nearest(effort, thinking.efforts)]
        return Reasoning(switches, _thought(thinking, is_open=thinking.is_open))
    budget = BUDGETS[effort]
    if budget and thinking.budget:
        switches[thinking.budget] = budget
    return Reasoning(switches, _thought(thinking, is_open=thinking.is_open, max_tokens=budget))


def within(reasoning: Reasoning, max_tokens: int, thinking: Thinking | None) -> Reasoning:
    """The reasoning with at most that many tokens; 0: no further limit."""
    thought = reasoning.thought
    if not max_tokens or thinking is None or thought is None or thought.is_optional:
        return reasoning
    limit = min(max_tokens, thought.max_tokens or max_tokens)
    budget = {thinking.budget: limit} if thinking.budget else {}
    if thought.is_harmony:  # its grammar has no limit
        return reasoning
    return Reasoning({**reasoning.switches, **budget}, replace(thought, max_tokens=limit))


def without_thought(thinking: Thinking | None) -> Reasoning:
    """How to have the model answer at once, or after as little thought as it can."""
    if thinking is None:
        return Reasoning(DONT_THINK, None)
    if thinking.can_skip:
        thought = None
        if thinking.answer or thinking.close:  # these marks remain; a thought that begins anyway soon ends
            thought = _thought(thinking, is_optional=True, max_tokens=_LEAST_TOKENS)
        return Reasoning({**DONT_THINK, **thinking.skip}, thought)
    if thinking.efforts:
        least = thinking.efforts[_nearest(LEVELS[0], thinking.efforts)]
        return Reasoning({**THINK, **least}, _thought(thinking, is_open=thinking.is_open))
    if not thinking.is_open:  # nothing makes it think
        return Reasoning(DONT_THINK, _thought(thinking, is_optional=True))
    return Reasoning(THINK, _thought(thinking, is_open=True, max_tokens=_LEAST_TOKENS))


def as_prompted(thought: Thought | None, prompt_end: str) -> Thought | None:
    """The thought after a prompt with that end: messages, too, may have switches, and templates write no
    beginning of a thought after some of them."""
    if thought is None or thought.is_harmony:
        return thought
    end = prompt_end.rstrip().removesuffix(thought.answer).rstrip()
    before = end.removesuffix(thought.end).rstrip()
    if before != end and (thought.is_open or before.endswith(thought.begin)):
        budget = thought.max_tokens if thought.is_optional else 0  # the thought of that budget is over
        return replace(thought, is_open=False, is_optional=True, max_tokens=budget)
    return replace(thought, is_open=thought.is_open or end.endswith(thought.begin))


def _thought(
    thinking: Thinking, *, is_open: bool = False, is_optional: bool = False, max_tokens: int = 0
) -> Thought:
    return Thought(
        thinking.begin,
        thinking.end,
        is_open=is_open,
        is_optional=is_optional,
        max_tokens=max_tokens,
        answer=thinking.answer,
        close=thinking.close,
        is_harmony=thinking.is_harmony,
        ending=thinking.ending,
    )


def _nearest(effort: str, levels: Collection[str]) -> str:
    """The level that is closest to the effort; of two, the higher one."""
    wanted = LEVELS.index(effort)
    return min(levels, key=lambda level: (abs(LEVELS.index(level) - wanted), -LEVELS.index(level)))
