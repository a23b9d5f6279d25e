"""What a grammar costs: tokens per second of streams with and without one, alternating, in one process.

python bench/grammar.py MODEL.gguf [--engine llamacpp] [--streams 8] [--tokens 64]
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from myna.core.constraints import JsonSchema
from myna.core.requests import Sampling
from myna.decoding.grammar import Grammars
from myna.decoding.sampling import ChoiceSampling, Draw, RequestSampling, SamplingBatch, sample
from myna.engines.base import BatchRow, Engine
from myna.engines.registry import load_engine
from myna.prompts.tokenizer import Tokenizer
from myna.prompts.vocabulary import Vocabulary
from myna.scheduling.grammar_text import grammar_text

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            "required": ["street", "city"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "age", "tags", "address"],
    "additionalProperties": False,
}
# An endless list of these, so that every stream generates all its tokens.
PEOPLE = {"type": "array", "items": PERSON, "minItems": 10_000}


class Streams:
    """The given number of equal streams, decoded in one batch per step."""

    def __init__(self, engine: Engine, grammars: Grammars, prompt: list[int], count: int) -> None:
        self._engine = engine
        self._grammars = grammars
        self._prompt = prompt
        self._count = count
        self._helper = ThreadPoolExecutor(1)

    def tokens_per_second(self, num_tokens: int, text: str | None) -> float:
        engine, count = self._engine, self._count
        choices = [ChoiceSampling(RequestSampling(Sampling(seed=stream)), 0, None) for stream in range(count)]
        bound = [self._grammars.compile(text) for _ in range(count)] if text else []
        position = len(self._prompt)
        logits = engine.forward([BatchRow(stream, self._prompt, 0, position - 1) for stream in range(count)])
        masks = self._grammars.masks(bound) if bound else None
        start = time.perf_counter()
        for step in range(num_tokens):
            draws = [Draw(row, choices[row], step, row if bound else -1) for row in range(count)]
            tokens = sample(logits.array, SamplingBatch.of(draws, masks)).tokens.tolist()
            for grammar, token in zip(bound, tokens, strict=False):
                assert grammar.advance(token)
            future = self._helper.submit(self._grammars.masks, bound) if bound else None
            rows = [BatchRow(row, [token], position + step, 0) for row, token in enumerate(tokens)]
            logits = engine.forward(rows)
            masks = future.result() if future is not None else None
        seconds = time.perf_counter() - start
        for stream in range(count):
            engine.free(stream)
        return count * num_tokens / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--engine", default="llamacpp")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    vocabulary = Vocabulary.read(arguments.model)
    tokenizer = Tokenizer(vocabulary)
    engine = load_engine(arguments.engine, arguments.model, context_tokens=2048, memory_bytes=0, threads=0)
    controls = [token for token in range(len(vocabulary)) if vocabulary.is_control(token)]
    grammars = Grammars(
        vocabulary.pieces,
        controls,
        vocabulary.eog,
        lambda text: tokenizer.encode(text, parse_special=False),
        engine.info.vocab_size,
    )
    grammar = grammar_text(JsonSchema(json.dumps(PEOPLE)))
    prompt = tokenizer.encode("People of our town, as JSON:\n", parse_special=False)
    streams = Streams(engine, grammars, prompt, arguments.streams)
    streams.tokens_per_second(8, grammar)
    pairs = [
        (
            streams.tokens_per_second(arguments.tokens, None),
            streams.tokens_per_second(arguments.tokens, grammar),
        )
        for _ in range(arguments.rounds)
    ]
    unbound, bound = np.median(pairs, axis=0)
    ratios = sorted(second / first for first, second in pairs)
    print(
        f"{arguments.streams} streams, {arguments.engine}: {unbound:.0f} tokens/s unbound, {bound:.0f} bound;"
    )
    print(f"bound / unbound: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    engine.close()


if __name__ == "__main__":
    main()
