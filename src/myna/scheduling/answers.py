"""What a candidate's tokens mean to its client: text, log-probabilities, the reason of its end, rank."""

from collections.abc import Sequence as Many
from typing import NamedTuple

import msgspec

from myna.core.errors import MynaError
from myna.core.events import ChoiceDone, Done, Event, PromptDone, TextDelta, TokenLogprob
from myna.decoding.detokenizing import ChoiceText
from myna.decoding.grammar import Grammar
from myna.decoding.sampling import Sampled
from myna.decoding.thinking import ThoughtText
from myna.scheduling.drafting import count_met
from myna.scheduling.sequence import Job, Sequence


class Lexicon(msgspec.Struct, frozen=True):
    """A model's tokens as the scheduler needs them: true bytes, bytes to show, which end an answer."""

    data: Many[bytes]
    shown: Many[bytes]
    ends: frozenset[int]


class Told(NamedTuple):
    """What to tell whom: an event of the job with that number, or the error that ended it."""

    number: int
    what: Event | MynaError


def prepare(job: Job, lexicon: Lexicon, grammar: Grammar | None) -> None:
    """Give the request its `best_of` competing candidates: each its own text and place in the grammar."""
    request = job.request
    if request.num_prompt_logprobs is not None:
        first = request.prompt_tokens[0]
        job.prompt_logprobs.append(TokenLogprob(first, None, lexicon.data[first]))
    is_tracking = request.num_logprobs is not None
    job.candidates = [
        Sequence(
            job,
            choice,
            ChoiceText(lexicon.shown, request.stop, is_tracking=is_tracking),
            grammar and grammar.copy(),
            ThoughtText(lexicon.shown, request.thought) if request.thought is not None else None,
        )
        for choice in range(max(request.best_of, request.num_choices))
    ]


def take_token(sequence: Sequence, token: int, lexicon: Lexicon, out: list[Told]) -> None:
    """Append a drawn token and tell what can be shown; sets `reason` where the candidate ends by it."""
    request = sequence.job.request
    sequence.tokens.append(token)
    sequence.sampling.accept(token)
    sequence.num_untold += 1
    if token in lexicon.ends and not request.ignore_eos:
        sequence.reason = "stop"
        return
    text = sequence.text.push(token) if sequence.thought is None else _think(sequence, token, out)
    grammar = sequence.grammar
    if sequence.text.is_stopped or (grammar is not None and grammar.advance(token) and grammar.must_stop):
        sequence.reason = "stop"
    elif len(sequence.tokens) - sequence.num_prompt >= request.max_tokens:
        sequence.reason = "length"
    if text:
        _tell_text(sequence, text, out)


def finish(sequence: Sequence, out: list[Told]) -> None:
    """Tell the rest of an ended candidate, and of its request if it was the last."""
    job, reason = sequence.job, sequence.reason
    assert reason is not None
    if sequence.thought is not None:
        _break_off_thought(sequence, sequence.thought, out)
    if not sequence.text.is_stopped:
        text = sequence.text.finish()
        if text or sequence.held_logprobs:
            _tell_text(sequence, text, out, is_last=True)
    done = ChoiceDone(sequence.choice, reason, sequence.num_untold, sequence.num_generated)
    sequence.num_untold = 0
    job.num_ended += 1
    job.completion_tokens += sequence.num_generated
    prediction = job.request.prediction_tokens
    if prediction:
        job.accepted_tokens += count_met(prediction, sequence.tokens[sequence.num_prompt :])
    if job.is_ranked:
        sequence.shown.append(done)
    else:
        out.append(Told(job.number, done))
    if job.num_ended == len(job.candidates):
        if job.is_ranked:
            _tell_best(job, out)
        # OpenAI counts what was predicted and not said as completion tokens, too.
        rejected = len(prediction) * job.num_ended - job.accepted_tokens
        total = job.completion_tokens + rejected
        done_all = Done(total, job.accepted_tokens, rejected, job.reasoning_tokens)
        out.append(Told(job.number, done_all))


def tell_prompt(job: Job, out: list[Told]) -> None:
    """The prompt is computed: once a job, before any text."""
    job.is_prompt_done = True
    done = PromptDone(len(job.request.prompt_tokens), job.cached_tokens, tuple(job.prompt_logprobs))
    out.append(Told(job.number, done))
    job.prompt_logprobs = []


def take_scores(job: Job, scores: Sampled, lexicon: Lexicon) -> None:
    """Log-probabilities of the next tokens of the prompt."""
    num_top = job.request.num_prompt_logprobs or 0
    job.prompt_logprobs += (
        read_logprob(scores, index, num_top, lexicon) for index in range(len(scores.tokens))
    )


def take_logprob(sequence: Sequence, sampled: Sampled, index: int, lexicon: Lexicon) -> None:
    """Keep the log-probabilities of the token about to be taken, unless it ends the answer."""
    request = sequence.job.request
    token = int(sampled.tokens[index])
    sequence.sum_logprob += float(sampled.logprobs[index])
    if request.num_logprobs is not None and (token not in lexicon.ends or request.ignore_eos):
        sequence.held_logprobs.append(read_logprob(sampled, index, request.num_logprobs, lexicon))


def read_logprob(sampled: Sampled, index: int, num_top: int, lexicon: Lexicon) -> TokenLogprob:
    """One entry of a struct of arrays as the value that events carry."""
    token, data = int(sampled.tokens[index]), lexicon.data
    top = tuple(
        (other, logprob, data[other])
        for other, logprob in zip(
            sampled.top_tokens[index, :num_top].tolist(),
            sampled.top_logprobs[index, :num_top].tolist(),
            strict=True,
        )
        if other >= 0
    )
    return TokenLogprob(token, float(sampled.logprobs[index]), data[token], top)


def _think(sequence: Sequence, token: int, out: list[Told]) -> str:
    """Take a token while a thought may stand before the answer; return what belongs to the answer."""
    thought = sequence.thought
    assert thought is not None
    if shown := thought.push(token):
        _tell_thought(sequence, shown, out)
    # Entries wait with their tokens: those of the thought are nobody's.
    del sequence.held_logprobs[: len(sequence.held_logprobs) - len(thought.answer)]
    if not thought.is_over:
        return ""
    return _end_thought(sequence, thought)


def _end_thought(sequence: Sequence, thought: ThoughtText) -> str:
    """The answer begins: with the tokens that turned out to be its own."""
    sequence.thought = None
    sequence.job.reasoning_tokens += thought.num_tokens - len(thought.answer)
    if thought.rest and sequence.grammar is None:
        sequence.text.begin_with(thought.rest)
    return "".join([sequence.text.push(token) for token in thought.answer])


def _break_off_thought(sequence: Sequence, thought: ThoughtText, out: list[Told]) -> None:
    """The answer ended before its thought did, or before it was clear that there is none."""
    if shown := thought.finish():
        _tell_thought(sequence, shown, out)
    if text := _end_thought(sequence, thought):
        _tell_text(sequence, text, out)


def _tell_thought(sequence: Sequence, text: str, out: list[Told]) -> None:
    out.append(
        Told(sequence.job.number, TextDelta(sequence.choice, text, sequence.num_untold, is_thought=True))
    )
    sequence.num_untold = 0


def _tell_text(sequence: Sequence, text: str, out: list[Told], *, is_last: bool = False) -> None:
    job = sequence.job
    logprobs: tuple[TokenLogprob, ...] = ()
    if sequence.held_logprobs:
        ready = len(sequence.held_logprobs) if is_last else sequence.text.num_shown - sequence.num_logprobs
        logprobs = tuple(sequence.held_logprobs[:ready])
        sequence.num_logprobs += len(logprobs)
        del sequence.held_logprobs[:ready]
    delta = TextDelta(sequence.choice, text, sequence.num_untold, logprobs)
    sequence.num_untold = 0
    if job.is_ranked:
        sequence.shown.append(delta)
    else:
        out.append(Told(job.number, delta))


def _tell_best(job: Job, out: list[Told]) -> None:
    """The candidates with the best mean log-probability, as choices 0, 1, …, best first."""
    ranked = sorted(
        job.candidates, key=lambda candidate: -candidate.sum_logprob / max(1, candidate.num_generated)
    )
    for choice, candidate in enumerate(ranked[: job.request.num_choices]):
        out += (Told(job.number, msgspec.structs.replace(event, choice=choice)) for event in candidate.shown)
