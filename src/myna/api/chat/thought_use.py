"""What `reasoning_effort` asks of a model that thinks: how its prompt is written, how long it may. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from myna.core.constraints import AnyText, Constraint
from myna.core.requests import Thought
from myna.prompts.thinking import DONT_THINK, THINK, Thinking
from myna.serving import faults

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Tokens of thought, for models whose template has no words of its own for effort; then it has to end.
BUDGETS: Final[Mapping[str, int]] = MappingProxyType(
    {"minimal": 256, "low": 1024, "medium": 4096, "high": 16384, "xhigh": 0, "max": 0}
)


@dataclass(frozen=True, slots=True)
class ThoughtUse:
    """`switches` are for the template; `thought` None: what the model says is its answer from the start."""

    switches: Mapping[str, object]
    thought: Thought | None

    def constraint(self, answer: Constraint | None) -> Constraint | None:
        """What holds the whole generation, whose answer is held by `answer`: a thought that is cut needs
        a constraint behind it."""
        is_cut = self.thought is not None and self.thought.max_tokens > 0
        return AnyText() if is_cut and answer is None else answer


NO_THOUGHT: Final = ThoughtUse({}, None)


def thought_use(effort: str | None, thinking: Thinking | None) -> ThoughtUse:
    """Raises `InvalidRequest` for an effort that this model can't be asked for."""
    if thinking is None or not thinking.is_known:
        if effort is not None:
            raise faults.unsupported().at("reasoning_effort")
        if thinking is None:
            return NO_THOUGHT
        # A template that only leaves out old thoughts may be of a model that thinks: then it is read.
        return ThoughtUse({}, Thought(thinking.begin, thinking.end, is_optional=True))
    if effort == "none":
        if not thinking.can_skip:
            supported = f" Supported values are: {faults.either(EFFORTS[1:], 'and')}."
            raise faults.unsupported_value(effort, supported).at("reasoning_effort")
        return ThoughtUse(DONT_THINK, None)
    if effort is None and not thinking.is_default:
        return NO_THOUGHT
    budget = 0 if effort is None or thinking.has_effort else BUDGETS[effort]
    thought = Thought(thinking.begin, thinking.end, is_open=thinking.is_open, max_tokens=budget)
    if effort is None:
        return ThoughtUse({}, thought)
    return ThoughtUse({**THINK, "reasoning_effort": effort} if thinking.has_effort else THINK, thought)
