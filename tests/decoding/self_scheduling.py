"""An engine that schedules for itself, as small as can be: token ids and log-probabilities, no text."""

from collections.abc import Iterator

import numpy as np

from myna.core.events import Event
from myna.core.requests import GenerationRequest
from myna.decoding.choice_output import SampledLogprobs
from myna.decoding.output_processor import RequestOutput
from myna.decoding.sampling import (
    ChoiceSampling,
    Draw,
    RequestSampling,
    Sampled,
    SamplingBatch,
    sample,
    score,
)
from myna.decoding.token_table import TokenTable
from myna.engines.base import BatchRow
from myna.engines.fake import FakeEngine
from myna.workers.frames import WorkerSpec
from myna.workers.loading import load_fake

TABLE = load_fake(WorkerSpec("fake", "fake")).token_table


def answer(request: GenerationRequest, table: TokenTable = TABLE) -> list[Event]:
    """All events of the request: one token of each choice in turn, until its output says why it ended."""
    output = RequestOutput(request, table)
    if request.num_prompt_logprobs is not None:
        output.add_prompt_logprobs(prompt_logprobs(request))
    events: list[Event] = [output.prompt_done(0)]
    running = {
        choice.index: generate(request, choice.index, output.num_logprobs, output.end_tokens)
        for choice in output.choices
    }
    if request.max_tokens == 0:
        for index in running:
            events += output.finish(index, "length")
        return events
    while running:
        for index, tokens in list(running.items()):
            events += output.push(index, *next(tokens))
            if output.choices[index].reason is not None:
                del running[index]
    assert output.is_finished
    return events


def generate(
    request: GenerationRequest, choice: int, num_logprobs: int | None, end_tokens: frozenset[int]
) -> Iterator[tuple[int, SampledLogprobs | None]]:
    """Tokens of one choice without end."""
    engine = FakeEngine(4096, 4096, 1)
    shared = RequestSampling(
        request.sampling, request.prompt_tokens, end_tokens=end_tokens, min_tokens=request.min_tokens
    )
    sampling = ChoiceSampling(shared, choice, num_logprobs)
    tokens, num_computed = list(request.prompt_tokens), 0
    while True:
        new = tokens[num_computed:]
        logits = engine.forward([BatchRow(0, new, num_computed, len(new) - 1)])
        num_computed = len(tokens)
        draw = Draw(0, sampling, num_computed - len(request.prompt_tokens))
        sampled = sample(logits.array, SamplingBatch.of([draw]))
        tokens.append(int(sampled.tokens[0]))
        sampling.accept(tokens[-1])
        yield tokens[-1], None if num_logprobs is None else _logprobs(sampled, 0)


def prompt_logprobs(request: GenerationRequest) -> list[SampledLogprobs]:
    """Those of all tokens of the prompt but the first."""
    tokens = list(request.prompt_tokens)
    logits = FakeEngine(4096, 4096, 1).forward([BatchRow(0, tokens, 0, 0)])
    scores = score(logits.array[:-1], np.array(tokens[1:], np.int32), request.num_prompt_logprobs or 0)
    return [_logprobs(scores, index) for index in range(len(tokens) - 1)]


def _logprobs(sampled: Sampled, index: int) -> SampledLogprobs:
    top_tokens, top_logprobs = sampled.top_tokens[index].tolist(), sampled.top_logprobs[index].tolist()
    return SampledLogprobs(float(sampled.logprobs[index]), top_tokens, top_logprobs)
