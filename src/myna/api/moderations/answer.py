"""The response: collects the guard's answers to all texts into one body."""

from collections.abc import Iterator, Mapping

import orjson

from myna.api.moderations.hazards import CATEGORIES
from myna.api.moderations.verdict import Verdict, read_verdict
from myna.catalog.registry import ModelCard
from myna.core.events import Event, TextDelta, TokenLogprob


class ModerationAccumulator:
    """A `streaming.Accumulator` over the events of one request for each of `num_inputs` texts. `codes` as in
    `read_verdict`."""

    def __init__(self, id: str, card: ModelCard, num_inputs: int, codes: Mapping[str, str]) -> None:
        self._id, self._card, self._codes = id, card, codes
        self._answers = [list[str]() for _ in range(num_inputs)]
        self._tokens = [list[TokenLogprob]() for _ in range(num_inputs)]

    def feed(self, event: Event) -> None:
        """Process the next event."""
        if isinstance(event, TextDelta) and not event.is_thought:
            self._answers[event.choice].append(event.text)
            self._tokens[event.choice] += event.logprobs

    def parts(self) -> Iterator[bytes]:
        """The body's JSON, indented as OpenAI's. Raises `NoVerdict` before the first part."""
        verdicts = [
            read_verdict("".join(texts), tokens, self._codes, self._card.target)
            for texts, tokens in zip(self._answers, self._tokens, strict=True)
        ]
        body = {"id": self._id, "model": self._card.id, "results": list(map(_result, verdicts))}
        return iter([orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)])


def _result(verdict: Verdict) -> dict[str, object]:
    """OpenAI's result. A category that the guard can't name has no input type, and the score 0, as at OpenAI
    one that doesn't apply to the input."""
    return {
        "flagged": verdict.is_flagged,
        "categories": {name: name in verdict.categories for name in CATEGORIES},
        "category_scores": {name: verdict.score(name) for name in CATEGORIES},
        "category_applied_input_types": {
            name: ["text"] if name in verdict.judged else [] for name in CATEGORIES
        },
    }
