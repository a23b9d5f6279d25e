"""Guessed tokens on a real model: the same answers bit for bit, drawn greedily or by chance."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.scheduling.model import Driver
from tests.scheduling.test_speculation import ALWAYS, NEVER, told

from myna.core.backend import KV_CACHE_TYPES
from myna.core.conversation import Message
from myna.core.requests import GenerationRequest, Sampling
from myna.decoding.token_table import TokenTable
from myna.engines.native import NativeEngine, load
from myna.prompts.renderer import GgufRenderer

MODEL = "smollm2-135m-instruct"
SLOPE = 0.02
LINES = "".join(f"INSERT INTO users VALUES ({n}, 'user{n}', 'user{n}@example.com');\n" for n in range(1, 9))


@dataclass(frozen=True, slots=True)
class Opened:
    engine: NativeEngine
    draft_engine: NativeEngine
    token_table: TokenTable
    prompting: GgufRenderer

    def answer(
        self, requests: list[GenerationRequest], slope: float, *, has_draft_model: bool = False
    ) -> tuple[list[object], int]:
        """The events of all, and the steps of all together."""
        for sequence in range(16):
            self.engine.free(sequence)
            self.draft_engine.free(sequence)
        draft_engine = self.draft_engine if has_draft_model else None
        driver = Driver(self.engine, self.token_table, draft_engine=draft_engine)
        driver.scheduler.speculation.costs.slope = slope
        for request in requests:
            driver.add(request)
        driver.run(256)
        return [told(heard.events, heard.error) for heard in driver.heard.values()], sum(
            map(len, driver.rows)
        )


@contextmanager
def both(path: Path, draft: Path, kv_cache_type: str = "auto") -> Iterator[Opened]:
    engine, draft_engine = (
        load(
            str(one),
            context_tokens=2048,
            memory_bytes=256 << 20,
            threads=2,
            kv_cache_type=kv_cache_type,
        )
        for one in (path, draft)
    )
    prompting = GgufRenderer.load(path, None)
    data = list(prompting.vocabulary.pieces)
    yield Opened(engine, draft_engine, TokenTable(data, data, prompting.vocabulary.eog), prompting)
    engine.close()
    draft_engine.close()


@pytest.fixture(scope="module", params=KV_CACHE_TYPES)
def opened(request: pytest.FixtureRequest, model_path: Callable[[str], Path]) -> Iterator[Opened]:
    with both(model_path(MODEL), model_path(MODEL), request.param) as opened:
        yield opened


def request(opened: Opened, text: str, max_tokens: int = 72, **more: object) -> GenerationRequest:
    tokens = tuple(opened.prompting.encode_chat([Message.of("user", text)]))
    return GenerationRequest("r", tokens, max_tokens, **more)  # type: ignore[arg-type]


def varied(opened: Opened, temperature: float) -> list[GenerationRequest]:
    sampling = Sampling(temperature=temperature, seed=11)
    go_on, changed = f"Continue this list:\n{LINES}", LINES.replace("user3", "guest3")
    prediction = tuple(opened.prompting.encode(changed, parse_special=False))
    return [
        request(opened, go_on, sampling=sampling, num_logprobs=2),
        request(opened, go_on, sampling=sampling, num_choices=2, best_of=2),
        request(opened, f"Repeat: {LINES}", sampling=sampling, prediction_tokens=prediction),
        request(opened, "Tell a story.", sampling=sampling, stop=(".",)),
        request(
            opened,
            go_on,
            sampling=Sampling(temperature=temperature, seed=3, frequency_penalty=0.4, presence_penalty=0.2),
        ),
    ]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_answers_are_the_same_and_come_in_fewer_steps(opened: Opened, temperature: float) -> None:
    wanted = varied(opened, temperature)
    plain, many = opened.answer(wanted, NEVER)
    guessed, few = opened.answer(wanted, ALWAYS)
    assert guessed == plain
    assert few < many
    drafted, fewest = opened.answer(wanted, SLOPE, has_draft_model=True)
    assert drafted == plain
    assert fewest < few


def test_answers_are_the_same_with_a_smaller_model_that_drafts(model_path: Callable[[str], Path]) -> None:
    large, small = (model_path(f"qwen2.5-coder-{size}b-instruct") for size in ("1.5", "0.5"))
    with both(large, small) as opened:
        wanted = [
            request(opened, text, 24, sampling=Sampling(temperature=temperature, seed=seed), num_logprobs=1)
            for seed, (text, temperature) in enumerate(
                (text, temperature)
                for text in ("Write a binary search in Python.", "Why is the sky blue?")
                for temperature in (0.0, 0.8, 1.5)
            )
        ]
        plain, many = opened.answer(wanted, NEVER)
        drafted, few = opened.answer(wanted, SLOPE, has_draft_model=True)
        assert drafted == plain
        assert few < 0.9 * many
