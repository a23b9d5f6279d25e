"""Requests drawn from OpenAI's own OpenAPI document: no 5xx, and every answer is of its schema."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from jsonschema import Draft202012Validator
from tests.e2e.server import KEY, MODEL, ServerProcess, serving

from myna.wire.parameters import CHAT, COMPLETIONS, Support

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data" / "openai_openapi.json").read_text(encoding="utf-8")
)
# The document forgets that the chunks of a stream have no finish_reason yet; recorded ones have null.
_choice = DOCUMENT["components"]["schemas"]["CreateCompletionResponse"]["properties"]["choices"]["items"]
_choice["properties"]["finish_reason"] = {"enum": ["stop", "length", "content_filter", None]}
# Nor does it know that an empty list has no first and no last; recorded ones have null.
for _list in ("ChatCompletionList", "ChatCompletionMessageList"):
    for _end in ("first_id", "last_id"):
        DOCUMENT["components"]["schemas"][_list]["properties"][_end] = {"type": ["string", "null"]}
schema = schemathesis.openapi.from_dict(DOCUMENT)
STREAMS = {
    "/completions": "CreateCompletionResponse",
    "/chat/completions": "CreateChatCompletionStreamResponse",
}
seen: Counter[tuple[str, int]] = Counter()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    # Nobody reads the server's log here, and a full pipe would stop it.
    with serving(tmp_path_factory.mktemp("home"), "--engine", "fake", "--log-level", "error") as running:
        yield running


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    )


def is_served(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The drawn body on our model, short, and without what no text model serves: else all would be 400s."""
    table = COMPLETIONS if path == "/completions" else CHAT
    kept = {
        name: value
        for name, value in body.items()
        if name not in table or table[name].support is not Support.REJECTED
    }
    limits = [name for name in ("max_tokens", "max_completion_tokens") if name in kept]
    return kept | {"model": MODEL} | dict.fromkeys(limits[:1] or ["max_tokens"], 4)


@schema.parametrize()
@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_every_answer_is_of_the_schema(case: schemathesis.Case[Any], server: ServerProcess) -> None:
    path, method = case.operation.path, case.operation.method.lower()
    if isinstance(case.body, dict) and path in STREAMS:
        case.body = is_served(path, case.body)
    response = case.call(base_url=server.base_url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)
    seen[path, response.status_code] += 1
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        error = response.json()["error"]
        assert list(error) in (["message", "type", "param", "code"], ["type", "code", "message", "param"])
        return
    if response.headers["content-type"][0].startswith("text/event-stream"):
        *events, last, rest = response.text.split("\n\n")
        assert (last, rest) == ("data: [DONE]", "")
        for event in events:
            validator(STREAMS[path]).validate(json.loads(event.removeprefix("data: ")))
        return
    content = DOCUMENT["paths"][path][method]["responses"]["200"]["content"]
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    validator(name).validate(response.json())


def test_requests_that_were_drawn_were_answered_too() -> None:
    answered = {path for path, status in seen if status == 200}
    assert {"/models", "/completions", "/chat/completions"} <= answered, seen
