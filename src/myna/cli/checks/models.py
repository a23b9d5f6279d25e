"""The Models API."""

from typing import Final

import openai

from myna.cli.checks.server import Check, ExpectationFailed, ServerUnderTest, envelope, expect

_GROUP: Final = "Models"


def _list(server: ServerUnderTest) -> None:
    raw = server.http.get(
        f"{server.base_url}/models", headers={"Authorization": f"Bearer {server.key}"}
    ).json()
    expect(raw.get("object") == "list", f"object is {raw.get('object')!r}")
    for model in raw["data"]:
        missing = {"id", "object", "created", "owned_by"} - model.keys()
        expect(not missing, f"{model.get('id')} lacks {', '.join(sorted(missing))}")
        expect(isinstance(model["created"], int), f"created is {model['created']!r}")


def _retrieve(server: ServerUnderTest) -> None:
    found = server.client.models.retrieve(server.model)
    expect(found.id == server.model, f"asked for {server.model}, got {found.id}")


def _unknown(server: ServerUnderTest) -> None:
    try:
        server.client.models.retrieve("no/such model")
    except openai.NotFoundError as exc:
        expect(exc.code == "model_not_found", f"code is {exc.code!r}")
        return
    raise ExpectationFailed("an unknown id was found")


def _unknown_in_request(server: ServerUnderTest) -> None:
    response = server.post("completions", {"model": "no-such-model", "prompt": "x", "max_tokens": 1})
    expect(response.status_code == 404, f"HTTP {response.status_code} instead of 404")
    error = envelope(response)
    expect(error["code"] == "model_not_found", f"code is {error['code']!r}")


def _echoes_name(server: ServerUnderTest) -> None:
    answer = server.complete(max_tokens=1)
    expect(answer.model == server.model, f"asked for {server.model}, the answer says {answer.model}")


CHECKS: Final = (
    Check(_GROUP, "list: four fields per model, created is an integer", _list),
    Check(_GROUP, "retrieve one", _retrieve),
    Check(_GROUP, "retrieve an unknown id with a slash: 404 model_not_found", _unknown),
    Check(_GROUP, "unknown model in a request: 404 model_not_found", _unknown_in_request),
    Check(_GROUP, "the answer echoes the model that was asked for", _echoes_name),
)
