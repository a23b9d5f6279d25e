"""Four real models in memory for one at a time, through the official client."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import openai
import pytest
from openai import OpenAI
from tests.e2e.server import ServerProcess, serving

SMALL, LARGE, HUGE = "smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"


@pytest.fixture
def home(tmp_path: Path, model_path: Callable[[str], Path]) -> Path:
    (tmp_path / "models").mkdir()
    for model in (SMALL, LARGE, HUGE):
        link(tmp_path, model_path(model))
    return tmp_path


@pytest.fixture
def server(home: Path) -> Iterator[ServerProcess]:
    with serving(home, SMALL, "--context", "1024", MYNA_MODELS_MEMORY="700M") as running:
        yield running


def link(home: Path, model: Path) -> None:
    """As if it had been pulled: a new name in the folder of models."""
    (home / "models" / model.name).symlink_to(model)


def say(client: OpenAI, model: str) -> str:
    answer = client.completions.create(model=model, prompt="1, 2, 3, 4,", temperature=0, max_tokens=4)
    assert answer.model == model
    return answer.choices[0].text


def test_models_take_turns_in_memory_and_running_ones_stay(
    server: ServerProcess, client: OpenAI, home: Path, model_path: Callable[[str], Path]
) -> None:
    assert {SMALL, LARGE, HUGE, "gpt-4o-mini"} <= {model.id for model in client.models.list()}
    first = say(client, SMALL)
    (worker,) = server.workers()
    assert say(client, LARGE).strip()
    assert [other.pid for other in server.workers()] != [worker.pid]
    assert len(server.workers()) == 1

    _deletes_nothing_in_use(server, client)
    _waits_for_a_running_answer(client, first)
    _refuses_what_never_fits(client)
    _sees_what_was_pulled_and_removed(client, home, model_path)
    assert server.stop() == 0
    assert os.path.lexists(home / "models" / f"{SMALL}.gguf")


def _deletes_nothing_in_use(server: ServerProcess, client: OpenAI) -> None:
    stream = client.completions.create(
        model=LARGE, prompt="def f", max_tokens=900, stream=True, logit_bias={"151643": -100, "151645": -100}
    )
    next(stream)
    with pytest.raises(openai.ConflictError):
        client.models.delete(LARGE)
    stream.close()
    server.wait_for_log("outcome=cancelled")
    assert say(client, LARGE).strip()


def _waits_for_a_running_answer(client: OpenAI, expected: str) -> None:
    """The other model loads when the stream has ended, which goes on whole; then everything answers again."""
    stream = client.completions.create(
        model=LARGE, prompt="1, 2, 3,", temperature=0, max_tokens=60, stream=True
    )
    next(stream)
    said: list[str] = []
    waiting = [Thread(target=lambda: said.append(say(client, SMALL))) for _ in range(2)]
    for thread in waiting:
        thread.start()
    chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason is not None
    for thread in waiting:
        thread.join()
    assert said == [expected, expected]


def _refuses_what_never_fits(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.with_options(max_retries=2).completions.create(model=HUGE, prompt="x")
    assert caught.value.status_code == 503
    assert caught.value.code == "insufficient_memory"
    hint = caught.value.response.headers["x-myna-hint"]
    assert "may take at most 734 MB here" in hint
    assert "models_memory" in hint
    assert "GGUF" not in str(caught.value)


def _sees_what_was_pulled_and_removed(client: OpenAI, home: Path, model_path: Callable[[str], Path]) -> None:
    link(home, model_path("gemma-3-270m"))
    assert "gemma-3-270m" in {model.id for model in client.models.list()}
    assert say(client, "gemma-3-270m").strip()
    assert client.models.delete("gemma-3-270m").deleted
    assert not os.path.lexists(home / "models" / "gemma-3-270m.gguf")
    for look in (client.models.retrieve, client.models.delete):
        with pytest.raises(openai.NotFoundError):
            look("gemma-3-270m")
    (home / "models" / f"{LARGE}.gguf").unlink()
    with pytest.raises(openai.NotFoundError):
        say(client, LARGE)
