"""The official client against a live server process on the fake engine: the whole way but the arithmetic."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import openai
import psutil
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionUserMessageParam
from tests.e2e.server import KEY, MODEL, ServerProcess, serving

SAID = "the bird said 你好，世界 🙂👩‍👩‍👧 and café"


def ask(text: str) -> list[ChatCompletionMessageParam]:
    return [ChatCompletionUserMessageParam(role="user", content=text)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("home"), "--engine", "fake") as running:
        yield running


def test_models_are_listed_and_retrieved(client: OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert MODEL in listed
    assert "gpt-4o-mini" in listed
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("Qwen/Qwen3-0.6B")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("gpt-4o-mini")


def test_a_strangers_key_is_refused_before_all_else(server: ServerProcess) -> None:
    with (
        OpenAI(base_url=server.base_url, api_key="sk-a-stranger-0000", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        stranger.completions.create(model="nothing", prompt="x")
    assert caught.value.code == "invalid_api_key"
    assert "sk-a-str******0000" in str(caught.value)
    assert caught.value.request_id is not None


def test_streamed_and_whole_say_the_same_in_any_script(client: OpenAI) -> None:
    messages = ask(f"[[say {SAID}]]")
    whole = client.chat.completions.create(model=MODEL, messages=messages, temperature=0)
    stream = client.chat.completions.create(
        model=MODEL,
        messages=messages,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert whole.choices[0].message.content == SAID
    assert "".join(delta or "" for delta in deltas) == SAID
    assert all("\ufffd" not in (delta or "") for delta in deltas)
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert whole.choices[0].finish_reason == "stop"


def test_a_prediction_changes_no_word_and_is_counted_as_openai_does(client: OpenAI) -> None:
    line = "one look at the old tree and one look at the small bird"
    messages = ask(f"[[say {line}]]")
    plain = client.chat.completions.create(model=MODEL, messages=messages)
    assert plain.usage is not None
    for prediction, rejected in ((line, 0), (line.replace("old", "large"), 2)):
        guided = client.chat.completions.create(
            model=MODEL, messages=messages, prediction={"type": "content", "content": prediction}
        )
        assert guided.choices[0].message.content == plain.choices[0].message.content == line
        assert guided.usage is not None and guided.usage.completion_tokens_details is not None
        details = guided.usage.completion_tokens_details
        assert details.rejected_prediction_tokens == rejected
        # The answer's own tokens are those of the line and its end.
        assert details.accepted_prediction_tokens == plain.usage.completion_tokens - 1 - rejected
        assert guided.usage.completion_tokens == plain.usage.completion_tokens + rejected


def test_completions_with_several_prompts_and_choices(client: OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=["[[say a]]", "[[say b]]"], n=2, max_tokens=4)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in answer.choices] == ["a", "a", "b", "b"]


async def test_many_clients_at_once_each_get_their_own(server: ServerProcess) -> None:
    async with AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:

        async def say(number: int) -> str:
            stream = await client.completions.create(
                model=MODEL, prompt=f"[[say {'bird ' * number}{number}]]", max_tokens=200, stream=True
            )
            return "".join([chunk.choices[0].text async for chunk in stream])

        said = await asyncio.gather(*[say(number) for number in range(24)])
    assert said == [f"{'bird ' * number}{number}" for number in range(24)]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_frees_its_sequence(server: ServerProcess, stream: bool) -> None:
    prompt = f"[[slow 500]][[say {'bird ' * 900}]]"  # far longer than a client's leaving takes to be noticed
    async with AsyncOpenAI(base_url=server.base_url, api_key=KEY, max_retries=0, timeout=0.3) as client:
        with pytest.raises(openai.APITimeoutError):
            if stream:
                chunks = await client.completions.create(
                    model=MODEL, prompt=prompt, max_tokens=2000, stream=True, timeout=60
                )
                await anext(chunks)
                await chunks.close()
                raise openai.APITimeoutError(request=chunks.response.request)
            await client.completions.create(model=MODEL, prompt=prompt, max_tokens=2000)
    line = await asyncio.to_thread(server.wait_for_log, r"completion_tokens=(\d+).*outcome=cancelled")
    assert int(line[1]) < 900


def test_a_failing_request_is_a_500_that_says_not_to_try_again(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.with_options(max_retries=2).completions.create(model=MODEL, prompt="[[fail]]")
    assert caught.value.request_id is not None
    assert caught.value.request_id in str(caught.value)
    assert client.completions.create(model=MODEL, prompt="[[say ok]]").choices[0].text == "ok"


def test_kill_9_of_the_worker_loses_nothing_silently(server: ServerProcess, client: OpenAI) -> None:
    slow = f"[[slow 200]][[say {'bird ' * 400}]]"
    begun = client.completions.create(model=MODEL, prompt=slow, max_tokens=1000, stream=True)
    next(begun)
    (worker,) = server.workers()
    worker.kill()
    with pytest.raises(openai.APIError) as caught:
        list(begun)
    assert caught.value.type == "server_error"
    assert client.completions.create(model=MODEL, prompt="[[say back]]").choices[0].text == "back"
    assert [other.pid for other in server.workers()] != [worker.pid]


def test_sigterm_lets_running_answers_finish_and_exits_with_0(tmp_path: Path) -> None:
    with serving(tmp_path, "--engine", "fake") as server:
        with OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as client:
            running = client.completions.create(
                model=MODEL, prompt=f"[[slow 5]][[say {'bird ' * 100}]]", max_tokens=500, stream=True
            )
            next(running)
            workers = server.workers()
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises((openai.InternalServerError, openai.APIConnectionError)):
                while True:
                    client.completions.create(model=MODEL, prompt="[[say x]]")
            chunks = list(running)
        assert len(workers) == 1
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert server.end() == 0
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert alive == []


def test_a_killed_server_leaves_no_orphan(tmp_path: Path) -> None:
    with serving(tmp_path, "--engine", "fake") as server:
        workers = server.workers()
        assert len(workers) == 1
        server.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert alive == []
