"""An embedding model as the only one of a real server, in a confined worker, through the official client."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest
from openai import OpenAI
from tests.e2e.server import KEY, ServerProcess, serving
from tests.engines.tiny_embedders import CONTEXT, EMBEDDING, write_bert

from myna.engines.registry import load_embedding_engine
from myna.prompts.gguf import read_header
from myna.prompts.text_encoder import GgufTextEncoder

TEXTS = ["the bird is singing", "a thing", "rain, and rain again"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("models") / "tiny-bert.gguf")


@pytest.fixture(scope="module")
def server(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("home"), str(path), "--engine", "llamacpp") as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as opened:
        yield opened


def test_vectors_are_those_of_the_engine(client: OpenAI, path: Path) -> None:
    rows = GgufTextEncoder(read_header(path)).encode_batch(TEXTS)
    engine = load_embedding_engine("llamacpp", str(path), context_tokens=0, memory_bytes=0, threads=1)
    expected = engine.embed(rows)
    engine.close()
    answer = client.embeddings.create(model="text-embedding-ada-002", input=TEXTS)
    found = np.array([item.embedding for item in answer.data], np.float32)
    assert found.shape == (len(TEXTS), EMBEDDING)
    assert np.abs(found - expected).max() < 1e-3
    assert answer.usage.prompt_tokens == sum(map(len, rows))


def test_it_is_listed_and_does_not_chat(client: OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed[0] == "tiny-bert"
    assert "text-embedding-3-small" in listed
    assert "gpt-4o-mini" not in listed
    with pytest.raises(openai.NotFoundError, match="not a chat model"):
        client.chat.completions.create(model="tiny-bert", messages=[{"role": "user", "content": "Hi"}])


def test_a_text_longer_than_its_context_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=f"maximum context length is {CONTEXT} tokens"):
        client.embeddings.create(model="tiny-bert", input=["fine", "bird " * CONTEXT])
    with pytest.raises(openai.BadRequestError, match="does not support specifying dimensions"):
        client.embeddings.create(model="tiny-bert", input="bird", dimensions=8)
