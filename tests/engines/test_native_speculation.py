"""Guessed tokens on a real model: the same answers bit for bit, drawn greedily or by chance."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.scheduling.model import Driver
from tests.scheduling.test_speculation import ALWAYS, NEVER, told

from myna.core.conversation import Message
from myna.core.requests import GenerationRequest, Sampling
from myna.decoding.token_table import TokenTable
from myna.engines.native import NativeEngine, load
from myna.prompts.renderer import GgufRenderer

MODEL = "smollm2-135m-instruct"
LINES = "".join(f"INSERT INTO users VALUES ({n}, 'user{n}', 'user{n}@example.com');\n" for n in range(1, 9))


@dataclass(frozen=True, slots=True)
class Opened:
    engine: NativeEngine
    token_table: TokenTable
    prompting: GgufRenderer

    def answer(self, requests: list[GenerationRequest], slope: float) -> tuple[list[object], int]:
        """The events of all, and the steps of all together."""
        for sequence in range(16):
            self.engine.free(sequence)
        driver = Driver(self.engine, self.token_table)
        driver.scheduler.speculation.costs.slope = slope
        for request in requests:
            driver.add(request)
        driver.run(256)
        return [told(heard.events, heard.error) for heard in driver.heard.values()], sum(
            map(len, driver.rows)
        )


@pytest.fixture(scope="module")
def opened(model_path: Callable[[str], Path]) -> Iterator[Opened]:
    path = model_path(MODEL)
    engine = load(str(path), context_tokens=2048, memory_bytes=256 << 20, threads=2)
    prompting = GgufRenderer.load(path, None)
    data = list(prompting.vocabulary.pieces)
    yield Opened(engine, TokenTable(data, data, prompting.vocabulary.eog), prompting)
    engine.close()


def request(opened: Opened, text: str, **more: object) -> GenerationRequest:
    tokens = tuple(opened.prompting.encode_chat([Message.of("user", text)]))
    return GenerationRequest("r", tokens, 72, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_answers_are_the_same_and_come_in_fewer_steps(opened: Opened, temperature: float) -> None:
    sampling = Sampling(temperature=temperature, seed=11)
    go_on, changed = f"Continue this list:\n{LINES}", LINES.replace("user3", "guest3")
    prediction = tuple(opened.prompting.encode(changed, parse_special=False))
    wanted = [
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
    guessed, few = opened.answer(wanted, ALWAYS)
    plain, many = opened.answer(wanted, NEVER)
    assert guessed == plain
    assert few < many
