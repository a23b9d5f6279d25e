"""What a draft model's tokens are worth: how often they are accepted, and what a step of it costs. Pure."""

from typing import Final

from myna.scheduling.step_costs import StepPlan, moved

_CONFIDENCES: Final = 8  # classes of the draft model's own probability of its token
_WEIGHT: Final = 1 / 32  # of the newest comparison in an acceptance rate
_FIRST_RATE: Final = 0.7
_FIRST_COST: Final = 0.3
_COSTS: Final = (0.01, 4.0)
_FORGET: Final = 1 / 512  # after so many steps without drafts, both are tried again


class DraftRates:
    """`rate` is the acceptance rate of a draft's first token, `cost` the duration of a step of the draft
    model, relative to a step of the model with one token."""

    __slots__ = ("_rates", "cost", "rate")

    def __init__(self) -> None:
        self.rate = _FIRST_RATE
        self.cost = _FIRST_COST
        self._rates = [(index + 0.5) / _CONFIDENCES for index in range(_CONFIDENCES)]

    def acceptance(self, confidence: float) -> float:
        """The probability that a token is accepted to which the draft model gives this one."""
        return self._rates[_kind(confidence)]

    def compare(self, confidence: float, *, is_first: bool, is_right: bool) -> None:
        """A draft token was the one that was generated, or wasn't; those before it were."""
        kind = _kind(confidence)
        self._rates[kind] += _WEIGHT * (is_right - self._rates[kind])
        if is_first:
            self.rate += _WEIGHT * (is_right - self.rate)

    def observe_cost(self, cost: float) -> None:
        """A step of the draft model took that long."""
        self.cost = moved(self.cost, _COSTS, up=cost > self.cost)

    def forget(self) -> None:
        """A sequence was decoded without a draft, since it doesn't pay: what was measured grows old."""
        self.rate += _FORGET * (_FIRST_RATE - self.rate)
        self.cost += _FORGET * (_FIRST_COST - self.cost)

    def promise(self, plan: StepPlan, cost: float, limit: int) -> float:
        """How many tokens a draft of up to `limit` will yield beyond what the step would yield in its time,
        if each of its tokens costs so much."""
        best = net = 0.0
        probability = 1.0
        for _ in range(limit):
            probability *= self.rate
            net += plan.net(probability, cost)
            if net <= best:
                break
            best = net
        return best


def _kind(confidence: float) -> int:
    return min(int(confidence * _CONFIDENCES), _CONFIDENCES - 1)
