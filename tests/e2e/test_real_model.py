"""The official client against a live server with a real model."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from tests.e2e.server import ServerProcess, serving

MODEL = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]
) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("home"), str(model_path(MODEL)), "--context", "2048") as running:
        yield running


def test_it_goes_on_with_what_everyone_knows(client: OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt="One, two, three, four, five,", temperature=0, max_tokens=6
    )
    assert answer.choices[0].text.startswith(" six, seven")
    assert answer.choices[0].finish_reason == "length"


def test_it_answers_in_its_chat_template(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Say hello."}],
        temperature=0,
        max_tokens=32,
    )
    assert "hello" in (answer.choices[0].message.content or "").lower()
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_same_seed_says_the_same_streamed_or_whole_alone_or_not(client: OpenAI) -> None:
    def whole(n: int) -> list[str]:
        answer = client.completions.create(
            model=MODEL, prompt="Once upon a time", max_tokens=24, seed=7, temperature=0.8, n=n
        )
        return [choice.text for choice in answer.choices]

    stream = client.completions.create(
        model=MODEL, prompt="Once upon a time", max_tokens=24, seed=7, temperature=0.8, stream=True
    )
    streamed = "".join(chunk.choices[0].text for chunk in stream)
    assert whole(1) == [streamed]
    assert whole(3)[0] == streamed


def test_a_seeded_answer_is_the_same_alone_and_among_31_others(client: OpenAI) -> None:
    """Twenty times; the others differ from round to round in length, start and sampling."""

    def draw(prompt: str, seed: int, max_tokens: int) -> str:
        answer = client.completions.create(
            model=MODEL, prompt=prompt, max_tokens=max_tokens, seed=seed, temperature=1
        )
        return answer.choices[0].text

    kept = ("The old lighthouse keeper opened the door and", 11, 40)
    alone = draw(*kept)
    chance = random.Random(5)
    with ThreadPoolExecutor(32) as together:
        for _ in range(20):
            others = [
                ("word " * chance.randrange(1, 60), chance.randrange(1 << 30), chance.randrange(1, 24))
                for _ in range(31)
            ]
            at = chance.randrange(32)
            answers = list(together.map(lambda call: draw(*call), [*others[:at], kept, *others[at:]]))
            assert answers[at] == alone


def test_chinese_streams_in_whole_characters(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "请用中文重复：你好，世界"}],
        max_tokens=48,
        stream=True,
    )
    texts = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert len(texts) > 2
    assert all(text.encode("utf-8") for text in texts if text)


def test_a_prompt_over_the_context_is_a_400(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "bird " * 5000}])
    assert caught.value.code == "context_length_exceeded"
