"""`POST /v1/embeddings` through the whole application, over the fake engine's model."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.embeddings.stand_in import CONTEXT, Vector, embedding, expected, tokens_of
from tests.api.stand_in import error_of

from myna.api.embeddings.encoding import InputEncoder
from myna.backends.worker.fake_renderer import FakeTextEncoder
from myna.core.errors import InvalidRequest
from myna.core.generator import EmbeddingInfo, ModelInfo
from myna.engines import fake, fake_embedding

INVALID = (
    "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
)


def decoded(text: str) -> Vector:
    return np.frombuffer(base64.b64decode(text), "<f4")


async def test_every_form_of_input_becomes_vectors_in_order() -> None:
    one, two = "a bird", "an old song"
    forms: list[tuple[Any, list[str]]] = [
        (one, [one]),
        ([one], [one]),
        ([one, two], [one, two]),
        (tokens_of(one), [one]),
        ([tokens_of(two), tokens_of(one)], [two, one]),
        (tokens_of(one)[:-1], [one]),  # without the special token at its end
    ]
    async with embedding() as model:
        for form, texts in forms:
            body = (await model.ask(input=form, encoding_format="base64")).json()
            assert [item["index"] for item in body["data"]] == list(range(len(texts)))
            for item, text in zip(body["data"], texts, strict=True):
                assert np.array_equal(decoded(item["embedding"]), expected(text))
            total = sum(len(tokens_of(text)) for text in texts)
            assert body["usage"] == {"prompt_tokens": total, "total_tokens": total}


async def test_the_body_is_compact_with_openais_keys_in_order() -> None:
    async with embedding() as model:
        response = await model.ask(input="a bird")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["openai-model"] == "words-embedding"
    assert response.text.startswith('{"object":"list","data":[{"object":"embedding","index":0,"embedding":[')
    total = len(tokens_of("a bird"))
    usage = f'"usage":{{"prompt_tokens":{total},"total_tokens":{total}}}'
    assert response.text.endswith(f']}}],"model":"words-embedding",{usage}}}\n')
    assert ": " not in response.text
    assert list(response.json()) == ["object", "data", "model", "usage"]
    assert list(response.json()["data"][0]) == ["object", "index", "embedding"]


async def test_numbers_are_the_shortest_that_read_back_to_the_same_float32() -> None:
    async with embedding() as model:
        text = (await model.ask(input="a bird", encoding_format="float")).text
    shown = text.split("[")[2].split("]")[0].split(",")
    assert np.array_equal(np.array(list(map(float, shown)), np.float32), expected("a bird"))
    assert max(map(len, shown)) <= len("-0.123456789") + 3


async def test_many_inputs_come_back_whole() -> None:
    texts = [f"bird {i}" for i in range(2048)]
    async with embedding() as model:
        response = await model.ask(input=texts, encoding_format="base64")
        data = response.json()["data"]
    assert [item["index"] for item in data] == list(range(2048))
    assert all(
        np.array_equal(decoded(item["embedding"]), expected(text))
        for item, text in zip(data, texts, strict=True)
    )


async def test_cut_vectors_have_unit_length_again() -> None:
    async with embedding() as model:
        for width in (1, 64, 255, 256):
            body = (await model.ask(input="a bird", dimensions=width, encoding_format="base64")).json()
            vector = decoded(body["data"][0]["embedding"]).astype(np.float64)
            whole = expected("a bird").astype(np.float64)[:width]
            assert len(vector) == width
            assert abs(np.linalg.norm(vector) - 1) < 1e-6
            assert np.abs(vector - whole / np.linalg.norm(whole)).max() < 1e-6


@pytest.mark.parametrize(
    ("widths", "width", "message"),
    [
        ((), 128, "This model does not support specifying dimensions."),
        ((128,), 64, "This model does not support 64 dimensions; it supports 128."),
        (range(32, 257), 257, "This model does not support 257 dimensions; it supports 32 to 256."),
    ],
)
async def test_widths_that_the_model_was_not_trained_for(
    widths: range | tuple[int, ...], width: int, message: str
) -> None:
    async with embedding(widths=widths) as model:
        response = await model.ask(input="a", dimensions=width)
        own = await model.ask(input="a", dimensions=fake_embedding.WIDTH)
    assert response.status_code == 400
    assert error_of(response) == {
        "message": message, "type": "invalid_request_error", "param": None, "code": None
    }  # fmt: skip
    assert own.status_code == 200


TOO_LONG = "word " * (CONTEXT + 1)
REFUSED: dict[str, tuple[dict[str, Any], str, str | None, str | None]] = {
    "an empty text": ({"input": ""}, INVALID, None, None),
    "no inputs": ({"input": []}, INVALID, None, None),
    "an empty text among others": ({"input": ["a", ""]}, INVALID, None, None),
    "empty tokens": ({"input": [[]]}, INVALID, None, None),
    "a number": ({"input": 5}, INVALID, None, None),
    "null": ({"input": None}, INVALID, None, None),
    "mixed": ({"input": ["a", 5]}, INVALID, None, None),
    "mixed tokens": ({"input": [5, "a"]}, INVALID, None, None),
    "mixed arrays": ({"input": [[5], "a"]}, INVALID, None, None),
    "booleans": ({"input": [True]}, INVALID, None, None),
    "negative tokens": ({"input": [-1]}, INVALID, None, None),
    "an object": ({"input": {"text": "a"}}, INVALID, None, None),
    "no input": ({}, "Missing required parameter: 'input'.", "input", "missing_required_parameter"),
    "tokens of another model": (
        {"input": [[1], [2, 100_000]]},
        "Invalid 'input[1][1]': integer above maximum value. Expected a value <= "
        f"{len(fake.VOCABULARY) - 1}, but got 100000 instead.",
        "input[1][1]",
        "integer_above_max_value",
    ),
    "too many inputs": (
        {"input": ["a"] * 3000},
        "Invalid 'input': array too long. Expected an array with maximum length 2048, but got an array with "
        "length 3000 instead.",
        "input",
        "array_above_max_length",
    ),
    "too long": (
        {"input": ["a", TOO_LONG]},
        f"This model's maximum context length is {CONTEXT} tokens, however you requested "
        f"{len(tokens_of(TOO_LONG))} tokens ({len(tokens_of(TOO_LONG))} in your prompt; 0 for the "
        "completion). Please reduce your prompt; or completion length.",
        None,
        None,
    ),
    "negative dimensions": (
        {"input": "a", "dimensions": -42},
        "-42 is less than the minimum of 1 - 'dimensions'",
        None,
        None,
    ),
    "dimensions in words": (
        {"input": "a", "dimensions": "many"},
        "'many' is not of type 'integer' - 'dimensions'",
        None,
        None,
    ),
    "an unknown encoding": (
        {"input": "a", "encoding_format": "hex"},
        "'hex' is not one of ['float', 'base64'] - 'encoding_format'",
        None,
        None,
    ),
    "an unknown parameter": (
        {"input": "a", "dimension": 5},
        "Unknown parameter: 'dimension'. Did you mean 'dimensions'?",
        "dimension",
        "unknown_parameter",
    ),
    "an input type": (
        {"input": "a", "input_type": "query"},
        "Unsupported parameter: 'input_type' is not supported with this model.",
        "input_type",
        "unsupported_parameter",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_wrong_is_refused_whole(name: str) -> None:
    body, message, param, code = REFUSED[name]
    async with embedding() as model:
        response = await model.ask(**body)
        assert model.ledger.rows[0].outcome == "refused"
        assert model.ledger.rows[0].prompt_tokens == 0
    assert response.status_code == 400
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    assert error_of(response) == error


async def test_blanks_are_a_text() -> None:
    async with embedding() as model:
        assert (await model.ask(input=" ")).status_code == 200


def test_too_many_tokens_in_all() -> None:
    info = ModelInfo("fake", "fake", 300, 8192, 8192, 1, "", embedding=EmbeddingInfo(4, "mean"))
    encoder = InputEncoder(FakeTextEncoder(), info)
    full = (5,) * 8191
    assert len(encoder.encode([full] * 36)) == 36
    with pytest.raises(InvalidRequest, match="maximum request size is 300000 tokens per request") as refused:
        encoder.encode([full] * 37)
    assert refused.value.code == "max_tokens_per_request"


def test_far_too_many_tokens_in_all_are_refused_without_being_tokenized() -> None:
    class Untokenized(FakeTextEncoder):
        def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
            raise AssertionError("was tokenized")

        def least_tokens(self, text: str) -> int:
            return len(text) // 8

    info = ModelInfo("fake", "fake", 300, 8192, 8192, 1, "", embedding=EmbeddingInfo(4, "mean"))
    with pytest.raises(InvalidRequest, match="maximum request size is 300000 tokens per request"):
        InputEncoder(Untokenized(), info).encode(["a" * 8000] * 2048)


async def test_names_of_openai_are_the_only_embedding_model() -> None:
    async with embedding() as model:
        for name in ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"):
            body = (await model.ask(model=name, input="a bird", encoding_format="base64")).json()
            assert body["model"] == name
            assert np.array_equal(decoded(body["data"][0]["embedding"]), expected("a bird"))
        listed = (await model.client.get("/v1/models")).json()["data"]
    assert "text-embedding-3-small" in [card["id"] for card in listed]


async def test_a_configured_prompt_comes_before_each_text() -> None:
    async with embedding() as model:
        body = (
            await model.ask(
                model="words-embedding:query", input=["a bird", "a song"], encoding_format="base64"
            )
        ).json()
        refused = await model.ask(model="words-embedding:query", input=[5, 6])
    found = [decoded(item["embedding"]) for item in body["data"]]
    assert np.array_equal(found[0], expected("query: a bird"))
    assert np.array_equal(found[1], expected("query: a song"))
    assert error_of(refused)["param"] == "input"


@pytest.mark.parametrize("is_known", [True, False])
async def test_models_of_the_other_kind_are_refused(is_known: bool) -> None:
    chat = {"model": "words-embedding", "messages": [{"role": "user", "content": "Hi"}]}
    async with embedding(is_known=is_known) as model:
        talk = await model.client.post("/v1/chat/completions", json=chat)
        text = await model.client.post("/v1/completions", json={"model": "words-embedding", "prompt": "a"})
        vector = await model.ask(model="tiny", input="a")
        unknown = await model.ask(model="nothing", input="a")
    for response, path in ((talk, "v1/chat/completions"), (text, "v1/completions")):
        assert response.status_code == 404
        assert error_of(response) == {
            "message": f"This is not a chat model and thus not supported in the {path} endpoint. Did you "
            "mean to use v1/embeddings?",
            "type": "invalid_request_error",
            "param": "model",
            "code": None,
        }
    assert vector.status_code == 403
    assert error_of(vector)["message"] == "You are not allowed to generate embeddings from this model"
    assert unknown.status_code == 404
    assert error_of(unknown)["code"] == "model_not_found"


async def test_a_row_in_the_ledger_counts_the_tokens() -> None:
    async with embedding() as model:
        await model.ask(input=["a bird", "a song"], user="someone")
        (row,) = model.ledger.rows
    total = len(tokens_of("a bird")) + len(tokens_of("a song"))
    assert (row.endpoint, row.model, row.outcome) == ("embeddings", "words-embedding", "completed")
    assert (row.prompt_tokens, row.completion_tokens, row.user) == (total, 0, "someone")


async def test_the_official_client_gets_the_same_vector_in_both_encodings() -> None:
    async with embedding() as model:
        client = model.openai()
        unasked = await client.embeddings.create(model="words-embedding", input="a bird")
        floats = await client.embeddings.create(
            model="words-embedding", input="a bird", encoding_format="float"
        )
        short = await client.embeddings.create(model="words-embedding", input=["a", "b"], dimensions=8)
    assert np.array_equal(np.array(unasked.data[0].embedding, np.float32), expected("a bird"))
    assert np.array_equal(np.array(floats.data[0].embedding, np.float32), expected("a bird"))
    assert [len(item.embedding) for item in short.data] == [8, 8]
    assert unasked.usage.prompt_tokens == unasked.usage.total_tokens == len(tokens_of("a bird"))


async def test_a_failed_text_fails_its_request_alone() -> None:
    async with embedding() as model:
        bad, good = await asyncio.gather(model.ask(input=["a", "[[fail]]"]), model.ask(input=["a", "b"]))
    assert bad.status_code == 500
    assert good.status_code == 200


async def test_unknown_parameters_may_be_ignored() -> None:
    async with embedding(ignores_unknown=True) as model:
        response = await model.ask(input="a", input_type="query", whatever=1)
    assert response.status_code == 200
    assert response.headers["x-myna-ignored"] == "whatever,input_type"


_scalar = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-3, 300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
_any: st.SearchStrategy[Any] = st.recursive(
    _scalar,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside),
    max_leaves=6,
)
_body = st.fixed_dictionaries(
    {},
    optional={
        "input": _any | st.lists(st.text(max_size=4)) | st.lists(st.lists(st.integers(-1, 500), max_size=3)),
        "encoding_format": _any | st.sampled_from(["float", "base64"]),
        "dimensions": _any | st.integers(-2, 300),
        "user": _any,
        "truncate": _any,
        "prompt": _any,
    },
)


async def test_any_body_is_answered_or_refused() -> None:
    async with embedding() as model:
        bodies: list[dict[str, Any]] = []

        @given(_body)
        def collect(body: dict[str, Any]) -> None:
            bodies.append(body)

        collect()
        for body in bodies:
            response = await model.ask(**body)
            assert response.status_code in (200, 400), (body, response.text)
            if response.status_code == 400:
                error_of(response)
