"""Maps a reasoning effort to template variables and a token limit for the reasoning. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from myna.core.constraints import AnyText, Constraint
from myna.core.renderer import Thinking
from myna.core.requests import Thought
from myna.prompts.thinking import DONT_THINK, THINK
from myna.wire import validation_errors

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Limits on reasoning tokens, for models whose template does not support effort; 0: no limit.
BUDGETS: Final[Mapping[str, int]] = MappingProxyType(
    {"minimal": 256, "low": 1024, "medium": 4096, "high": 16384, "xhigh": 0, "max": 0}
)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """`switches` are variables for the template; `thought` None: the output is answer from the first
    token."""

    switches: Mapping[str, object]
    thought: Thought | None

    def constraint(self, answer: Constraint | None) -> Constraint | None:
        """The constraint of the whole generation, given the answer's: a limited thought needs a grammar for
        what follows it."""
        is_limited = self.thought is not None and self.thought.max_tokens > 0
        return AnyText() if is_limited and answer is None else answer


NO_REASONING: Final = Reasoning({}, None)


def reasoning_for(effort: str | None, thinking: Thinking | None, *, param: str) -> Reasoning:
    """What the effort means for a model with this kind of thinking. `param` is the request's parameter.

    Raises `InvalidRequest` for an effort that the model doesn't support.
    """
    if thinking is None or not thinking.is_known:
        if effort is not None:
            raise validation_errors.unsupported().at_param(param)
        if thinking is None:
            return NO_REASONING
        # A template that only drops earlier thoughts may belong to a reasoning model, so thoughts are parsed.
        return Reasoning({}, Thought(thinking.begin, thinking.end, is_optional=True))
    if effort == "none":
        if not thinking.can_skip:
            supported = f" Supported values are: {validation_errors.quoted_list(EFFORTS[1:], 'and')}."
            raise validation_errors.unsupported_value(effort, supported).at_param(param)
        return Reasoning(DONT_THINK, None)
    if effort is None and not thinking.is_default:
        return NO_REASONING
    budget = 0 if effort is None or thinking.has_effort else BUDGETS[effort]
    thought = Thought(thinking.begin, thinking.end, is_open=thinking.is_open, max_tokens=budget)
    if effort is None:
        return Reasoning({}, thought)
    return Reasoning({**THINK, "reasoning_effort": effort} if thinking.has_effort else THINK, thought)
