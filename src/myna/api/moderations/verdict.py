"""Reads what a guard model answered. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from myna.api.moderations.hazards import LLAMA_GUARD, QWEN3_GUARD, categories_of
from myna.core.errors import NoVerdict
from myna.core.events import TokenLogprob
from myna.wire.validation_errors import echoed

MAX_TOKENS: Final = 128
"""Enough for a verdict with all hazards."""
NUM_LOGPROBS: Final = 20
"""The words of the verdict are among the most likely tokens wherever the model decides for one."""

# `safe`, or `unsafe` and then a line of codes.
_LLAMA_GUARD: Final = re.compile(r"\s*(?:(safe)|(unsafe)(?:\s+([A-Z]\d+(?:\s*,\s*[A-Z]\d+)*))?)\s*")
# For a prompt, two lines; for an answer, a third one.
_QWEN3_GUARD: Final = re.compile(
    r"\s*Safety:\s*(?:(Safe)|(Unsafe|Controversial))\s*\n\s*Categories:\s*([^\n]*?)\s*"
    r"(?:\n\s*Refusal:\s*(?:Yes|No)\s*)?"
)
_WORDS: Final = ("safe", "unsafe", "controversial")  # no two begin with the same letter


@dataclass(frozen=True, slots=True)
class Verdict:
    """`is_flagged`: the guard doesn't call the text safe. `categories` are OpenAI's, of the hazards that it
    named; `judged` those of all that it could name. `unsafe` is the probability of the verdict `unsafe`."""

    is_flagged: bool
    categories: frozenset[str]
    judged: frozenset[str]
    unsafe: float

    def score(self, category: str) -> float:
        """The probability of the verdict `unsafe` for the categories that it is about: those that were named
        or, while the text is called safe, any that could have been."""
        concerned = self.categories if self.is_flagged else self.judged
        return self.unsafe if category in concerned else 0.0


def read_verdict(text: str, tokens: Sequence[TokenLogprob], codes: Mapping[str, str], model: str) -> Verdict:
    """The verdict in an answer and its tokens, which have their most likely alternatives. `codes` are the
    hazards that the prompt listed by code. Raises `NoVerdict` for an answer in no known form."""
    if match := _LLAMA_GUARD.fullmatch(text):
        table, hazards = LLAMA_GUARD, [codes.get(code.strip(), "") for code in (match[3] or "").split(",")]
        judged = categories_of(codes.values() or table, table)
    elif match := _QWEN3_GUARD.fullmatch(text):
        table, hazards = QWEN3_GUARD, [name.strip() for name in match[3].split(",")]
        judged = categories_of(table, table)
    else:
        raise _no_verdict(model, f"its answer was '{echoed(text.strip())}'")
    is_flagged = match[1] is None
    start = match.start(2 if is_flagged else 1)
    unsafe = _probability(tokens, len(text[:start].encode()))
    if unsafe is None:
        raise _no_verdict(model, "the log-probabilities of its answer are not those of a verdict")
    categories = categories_of(hazards, table) if is_flagged else frozenset()
    return Verdict(is_flagged, categories, judged, unsafe)


def _no_verdict(model: str, what: str) -> NoVerdict:
    return NoVerdict(
        f"The model '{model}' did not say whether the text is safe: {what}. The setting `moderation` must "
        "name a guard model such as Llama Guard or Qwen3Guard-Gen, with its own chat template."
    )


def _probability(tokens: Sequence[TokenLogprob], start: int) -> float | None:
    """The probability of `unsafe` among the words of a verdict, at the token with that byte of the answer."""
    for token in tokens:
        if start < len(token.data):
            break
        start -= len(token.data)
    else:
        return None
    likely = {number: (logprob, data) for number, logprob, data in token.top}
    likely.setdefault(token.token, (-math.inf if token.logprob is None else token.logprob, token.data))
    by_word = dict.fromkeys(_WORDS, 0.0)
    for logprob, data in likely.values():
        begins = data.decode(errors="replace").strip().lower()
        for word in _WORDS:
            if begins and word.startswith(begins):
                by_word[word] += math.exp(logprob)
    total = sum(by_word.values())
    return by_word["unsafe"] / total if total else None
