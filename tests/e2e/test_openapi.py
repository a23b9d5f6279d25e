"""Requests drawn from OpenAI's own OpenAPI document, and from ours of Anthropic's Messages: no 5xx, and every
answer is of its schema."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from jsonschema import Draft202012Validator
from schemathesis.core.transport import Response
from tests.api.responses import document as platform
from tests.api.responses.document import check_event, of_the_document
from tests.e2e.server import KEY, MODEL, ServerProcess, serving

from myna.wire.parameters import (
    CHAT,
    COMPACT,
    COMPLETIONS,
    CONVERSATION,
    CONVERSATION_ITEMS,
    EMBEDDINGS,
    INPUT_TOKENS,
    METADATA_UPDATE,
    MODERATIONS,
    RESPONSES,
    Support,
)

# What runs here is Schemathesis and jsonschema; the server is a process of its own, which is measured.
pytestmark = pytest.mark.no_cover

DATA = Path(__file__).parent.parent / "data"
DOCUMENT: dict[str, Any] = json.loads((DATA / "openai_openapi.json").read_text(encoding="utf-8"))
ANTHROPIC: dict[str, Any] = json.loads((DATA / "anthropic_messages.json").read_text(encoding="utf-8"))
# The document forgets that the chunks of a stream have no finish_reason yet; recorded ones have null.
_choice = DOCUMENT["components"]["schemas"]["CreateCompletionResponse"]["properties"]["choices"]["items"]
_choice["properties"]["finish_reason"] = {"enum": ["stop", "length", "content_filter", None]}
# Nor does it know that an empty list has no first and no last; recorded ones have null.
for _list in ("ChatCompletionList", "ChatCompletionMessageList"):
    for _end in ("first_id", "last_id"):
        DOCUMENT["components"]["schemas"][_list]["properties"][_end] = {"type": ["string", "null"]}
schema = schemathesis.openapi.from_dict(DOCUMENT)
platform_schema = schemathesis.openapi.from_dict(platform.DOCUMENT)
platform_schema.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])
anthropic_schema = schemathesis.openapi.from_dict(ANTHROPIC)
STREAMS = {
    "/completions": "CreateCompletionResponse",
    "/chat/completions": "CreateChatCompletionStreamResponse",
}
PLATFORM_PARAMETERS = {
    "/responses": RESPONSES,
    "/responses/input_tokens": INPUT_TOKENS,
    "/responses/compact": COMPACT,
    "/embeddings": EMBEDDINGS,
    "/moderations": MODERATIONS,
    "/conversations": CONVERSATION,
    "/conversations/{conversation_id}": METADATA_UPDATE,
    "/conversations/{conversation_id}/items": CONVERSATION_ITEMS,
}
ANSWERED = {"model": MODEL, "input": "[[say Hello]]", "max_output_tokens": 16}
seen: Counter[tuple[str, int]] = Counter()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    # Nobody reads the server's log here, and a full pipe would stop it.
    home = tmp_path_factory.mktemp("home")
    with serving(home, "--engine", "fake", "--log-level", "error", MYNA_MODERATION=MODEL) as running:
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


@pytest.fixture
def known(server: ServerProcess) -> dict[str, str]:
    """Ids of what exists, by the names of the parameters that take them."""
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=server.base_url, headers=headers, timeout=60) as http:

        def create(path: str, **body: Any) -> dict[str, Any]:
            created: dict[str, Any] = http.post(path, **body).raise_for_status().json()
            return created

        item = {"role": "user", "content": "Hi"}
        conversation = create("conversations", json={"items": [item]})["id"]
        items = http.get(f"conversations/{conversation}/items").json()["data"]
        lines = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": ANSWERED})
        file = create("files", data={"purpose": "batch"}, files={"file": ("a.jsonl", lines)})["id"]
        batch = {"input_file_id": file, "endpoint": "/v1/responses", "completion_window": "24h"}
        return {
            "response_id": create("responses", json=ANSWERED | {"background": True})["id"],
            "conversation_id": conversation,
            "item_id": items[0]["id"],
            "file_id": file,
            "batch_id": create("batches", json=batch)["id"],
        }


def classified(value: Any) -> Any:
    """The drawn input, not empty and without images, to which the fake engine gives a verdict."""
    if isinstance(value, list):
        return [classified(part) for part in value or [""]]
    if isinstance(value, dict):
        return {"type": "text", "text": classified(value.get("text", ""))}
    return f"{value}[[say safe]]"


def is_served_here(path: str, body: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    """The drawn body with our models and ids, without unknown names and what no text model serves."""
    if (table := PLATFORM_PARAMETERS.get(path)) is None:
        return body
    served = [name for name in table if table[name].support is not Support.REJECTED]
    kept = {name: body[name] for name in served if name in body}
    if "model" in table:
        kept = {"input": "[[say Hello]]"} | kept | {"model": MODEL}
    ours = {
        "model": "fake-embedding" if path == "/embeddings" else MODEL,
        "max_output_tokens": 16,
        "previous_response_id": known["response_id"],
        "conversation": known["conversation_id"],
    }
    kept |= {name: value for name, value in ours.items() if name in kept}
    if path == "/moderations":
        kept["input"] = classified(kept["input"])
    if "previous_response_id" in kept:
        kept.pop("conversation", None)
    return kept


def check_platform(case: schemathesis.Case[Any], response: Response) -> None:
    """An answer is of the document's schema."""
    if response.headers["content-type"][0].startswith("text/event-stream"):
        *events, rest = response.text.split("\n\n")
        assert rest == ""
        for event in events:
            check_event(json.loads(event.partition("data: ")[2]))
        return
    operation = platform.DOCUMENT["paths"][case.operation.path][case.operation.method.lower()]
    found = operation["responses"]["200"].get("content", {}).get("application/json", {"schema": {}})["schema"]
    if "$ref" not in found:  # the content of a file, and a deleted response
        return
    name = found["$ref"].rpartition("/")[2]
    answer = response.json()
    platform.validator(name).validate(of_the_document(answer) if name == "Response" else answer)


@platform_schema.parametrize()
@settings(
    max_examples=6,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_every_answer_of_the_platform_is_of_the_schema(
    case: schemathesis.Case[Any], server: ServerProcess, known: dict[str, str]
) -> None:
    path = case.operation.path
    case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
    if isinstance(case.body, dict):
        case.body = is_served_here(path, case.body, known)
    response = case.call(base_url=server.base_url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)
    seen[path, response.status_code] += 1
    assert response.status_code < 500, response.text
    if response.status_code == 200:
        check_platform(case, response)
    else:
        assert list(response.json()["error"]) == ["message", "type", "param", "code"]


@cache
def anthropics(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": ANTHROPIC["components"]}
    )


@anthropic_schema.parametrize()
@settings(
    max_examples=25,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_every_answer_of_messages_is_of_the_schema(
    case: schemathesis.Case[Any], server: ServerProcess
) -> None:
    path = case.operation.path
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body |= {"model": MODEL}
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    response = case.call(base_url=server.base_url, headers=headers, timeout=60)
    seen[path, response.status_code] += 1
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        anthropics("Error").validate(response.json())
    elif response.headers["content-type"][0].startswith("text/event-stream"):
        *events, rest = response.text.split("\n\n")
        assert rest == ""
        parsed = [event.split("\n", 1) for event in events]
        for name, data in parsed:
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            anthropics("MessageStreamEvent").validate(event)
        assert parsed[0][0] == "event: message_start" and parsed[-1][0] == "event: message_stop"
    else:
        anthropics("Message" if path == "/messages" else "TokenCount").validate(response.json())


def test_requests_that_were_drawn_were_answered_too() -> None:
    answered = {path for path, status in seen if status == 200}
    assert {"/models", "/completions", "/chat/completions"} <= answered, seen
    assert {"/responses", "/responses/compact", "/responses/input_tokens", "/conversations"} <= answered, seen
    assert {"/embeddings", "/moderations", "/messages", "/messages/count_tokens"} <= answered, seen
