"""The Embeddings API, on servers that list a model for it."""

import base64
import math
import struct
from typing import Any, Final

from myna.cli.checks.server import Check, ServerUnderTest, expect

_GROUP: Final = "Embeddings"
_NEAR: Final = 1e-3


def _model(server: ServerUnderTest) -> str:
    """The embedding model, by its name; empty if none is listed."""
    names = [model.id for model in server.client.models.list()]
    known = [name for name in names if name == "text-embedding-3-small" or "embed" in name.lower()]
    return known[0] if known else ""


def _applies(server: ServerUnderTest) -> bool:
    return bool(_model(server))


def _body(server: ServerUnderTest, text: object, **options: object) -> dict[str, Any]:
    """The whole answer, as sent."""
    response = server.post("embeddings", {"model": _model(server), "input": text, **options})
    expect(response.status_code == 200, f"HTTP {response.status_code}")
    body: dict[str, Any] = response.json()
    return body


def _vector(server: ServerUnderTest, text: object, index: int = 0) -> list[float]:
    vector: list[float] = _body(server, text)["data"][index]["embedding"]
    expect(isinstance(vector, list), f"the embedding is {type(vector).__name__}, not an array")
    return vector


def _is_near(one: list[float], other: list[float]) -> bool:
    return len(one) == len(other) and all(abs(a - b) < _NEAR for a, b in zip(one, other, strict=True))


def _client(server: ServerUnderTest) -> None:
    answer = server.client.embeddings.create(model=_model(server), input="a bird")
    expect(_is_near(answer.data[0].embedding, _vector(server, "a bird")), "not the vector that floats say")


def _base64(server: ServerUnderTest) -> None:
    data = _body(server, "a bird", encoding_format="base64")["data"][0]["embedding"]
    expect(isinstance(data, str), f"the embedding is {type(data).__name__}, not a text")
    raw = base64.b64decode(data)
    numbers = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    expect(_is_near(numbers, _vector(server, "a bird")), "it is not the same vector in little-endian float32")


def _unit(server: ServerUnderTest) -> None:
    length = math.sqrt(sum(number * number for number in _vector(server, "a bird")))
    expect(abs(length - 1) < _NEAR, f"the length is {length:.4f}")


def _several(server: ServerUnderTest) -> None:
    texts = ["a bird", "an old song about rain"]
    data = _body(server, texts)["data"]
    expect([item["index"] for item in data] == [0, 1], "the indexes are not 0, 1")
    for text, item in zip(texts, data, strict=True):
        expect(_is_near(item["embedding"], _vector(server, text)), "together it differs from alone")


def _tokens(server: ServerUnderTest) -> None:
    expect(len(_body(server, [100, 200, 300])["data"]) == 1, "an array of ids isn't one input")
    expect(len(_body(server, [[100, 200], [300]])["data"]) == 2, "two arrays of ids aren't two inputs")


def _usage(server: ServerUnderTest) -> None:
    usage = _body(server, "a bird on a roof")["usage"]
    expect(usage.get("prompt_tokens", 0) > 0, f"usage is {usage}")
    expect(usage.get("total_tokens") == usage["prompt_tokens"], f"usage is {usage}")


def _refuses(input: object, **options: object) -> Any:
    def check(server: ServerUnderTest) -> None:
        server.refused("embeddings", {"model": _model(server), "input": input, **options})

    return check


def _no_chat(server: ServerUnderTest) -> None:
    body = {"model": _model(server), "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    server.refused("chat/completions", body, 404)


def _no_vectors(server: ServerUnderTest) -> None:
    server.refused("embeddings", {"input": "a bird"}, 403)


CHECKS: Final = tuple(
    Check(_GROUP, behaviour, run, _applies)
    for behaviour, run in (
        ("the client, which asks for base64", _client),
        ("base64: little-endian float32", _base64),
        ("vectors have unit length", _unit),
        ("several texts, in order, each as alone", _several),
        ("token ids are one input, arrays of them several", _tokens),
        ("usage: prompt_tokens, equal to total_tokens", _usage),
        ("an empty text: 400", _refuses("")),
        ("an empty text among others: 400", _refuses(["a", ""])),
        ("a text longer than the context: 400", _refuses("word " * 150_000)),
        ("an unknown encoding_format: 400", _refuses("a", encoding_format="hex")),
        ("negative dimensions: 400", _refuses("a", dimensions=-42)),
        ("the embedding model doesn't chat: 404", _no_chat),
        ("a chat model has no vectors: 403", _no_vectors),
    )
)
