"""OpenAI's own document of what surrounds its Responses API, corrected where its service differs."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "openai_platform.json").read_text("utf-8")
)
SCHEMAS = DOCUMENT["components"]["schemas"]
SCHEMAS["ResponseError"] = {"anyOf": [SCHEMAS["ResponseError"], {"type": "null"}]}  # null without an error
SCHEMAS["ResponseUsage"] = {"anyOf": [SCHEMAS["ResponseUsage"], {"type": "null"}]}  # null until the end
SCHEMAS["ResponseFunctionCallArgumentsDoneEvent"]["required"].remove("name")  # never sent
SCHEMAS["Embedding"]["properties"]["embedding"] = {"type": ["array", "string"]}  # a string in base64
for _name in ("OpenAIFile", "Batch"):  # null is what they say of what they lack
    for _key, _schema in SCHEMAS[_name]["properties"].items():
        SCHEMAS[_name]["properties"][_key] = {"anyOf": [_schema, {"type": "null"}]}
for _name in ("ConversationItemList", "ResponseItemList"):
    for _key in ("first_id", "last_id"):  # an empty list has none
        SCHEMAS[_name]["properties"][_key] = {"type": ["string", "null"]}


@cache
def validator(name: str) -> Draft202012Validator:
    """For the schema of that name."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return Draft202012Validator(schema)


@cache
def event_schema(kind: str) -> str:
    """The schema of the events of that type."""
    for choice in SCHEMAS["ResponseStreamEvent"]["anyOf"]:
        name: str = choice["$ref"].rpartition("/")[2]
        if SCHEMAS[name]["properties"]["type"]["enum"] == [kind]:
            return name
    raise AssertionError(kind)


def check_event(event: dict[str, Any]) -> None:
    """Fail if the event of a stream isn't of the document."""
    if "response" in event:
        event = {**event, "response": of_the_document(event["response"])}
    validator(event_schema(event["type"])).validate(event)


def of_the_document(response: dict[str, Any]) -> dict[str, Any]:
    """Without the nulls that recorded responses have and the document doesn't know."""

    def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
        return {key: value for key, value in values.items() if value is not None or key not in names}

    text = response["text"] | {"format": without(response["text"]["format"], "description")}
    tools = [without(tool, "description") for tool in response["tools"]]
    return without(response, "user", "safety_identifier", "prompt_cache_key") | {"text": text, "tools": tools}
