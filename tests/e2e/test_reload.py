"""SIGHUP to a live server: the configuration changes, and no request notices."""

import signal
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from tests.e2e.server import MODEL, ServerProcess, serving

SAID = "bird " * 300


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    (tmp_path / "second.gguf").write_bytes(b"GGUF")
    write(tmp_path, '[aliases]\nold-name = ""')
    with serving(tmp_path, "--engine", "fake") as running:
        yield running


def write(home: Path, toml: str) -> None:
    (home / "myna.toml").write_text(toml, encoding="utf-8")


def ids(client: OpenAI) -> set[str]:
    return {model.id for model in client.models.list()}


def test_a_stream_runs_across_reloads(server: ServerProcess, client: OpenAI, tmp_path: Path) -> None:
    stream = client.completions.create(
        model="old-name", prompt=f"[[slow 3]][[say {SAID}]]", max_tokens=2000, stream=True
    )
    texts = [next(stream).choices[0].text]

    write(
        tmp_path,
        'max_body = "1K"\nthreads = 1\n[models]\nsecond = "second.gguf"\n[aliases]\nnew-name = "second"',
    )
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("next start: threads")
    assert {"second", "new-name", MODEL} <= ids(client)
    assert "old-name" not in ids(client)
    answer = client.completions.create(model="new-name", prompt="[[say caw]]")
    assert answer.choices[0].text == "caw"
    with pytest.raises(openai.APIStatusError) as caught:
        client.completions.create(model=MODEL, prompt="x" * 2000)
    assert caught.value.status_code == 413
    assert len(server.workers()) == 2

    write(tmp_path, '[aliases]\nnew-name = "new-name"')
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("stays as it was: The alias 'new-name' refers to itself")
    assert {"second", "new-name"} <= ids(client)

    write(tmp_path, 'model = "second"\n[models]\nsecond = "second.gguf"')
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("changed: ")
    assert "new-name" not in ids(client)
    answer = client.completions.create(model="gpt-4o-mini", prompt="[[say caw]]")
    assert answer.choices[0].text == "caw"

    texts += [chunk.choices[0].text for chunk in stream]
    assert "".join(texts) == SAID
    assert server.stop() == 0
