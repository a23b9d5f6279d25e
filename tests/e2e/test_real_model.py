"""The official client against a live server with a real model."""

from collections.abc import Callable, Iterator
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
