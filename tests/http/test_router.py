"""The table of paths gives each request the route that the routes in their order would."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from myna.http.router import PathTable


class Named:
    """Answers with its name and the parameters of the path."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await JSONResponse([self._name, request.path_params])(scope, receive, send)


async def page(request: Request) -> JSONResponse:
    return JSONResponse(["page", {}])


def no_lifespan(app: object) -> None:
    """Not used."""


ROUTES = (
    Route("/v1/models", Named("models")),
    Route("/v1/{name}/first", Named("first")),
    Route("/v1/models/first", Named("hidden")),
    Route("/v1/models/last", Named("last")),
    Route("/v1/models/{id}", Named("model")),
    Route("/page", page),
)


async def answer(path: str, method: str = "GET", root_path: str = "") -> tuple[int, object]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    router = PathTable(ROUTES, default=Named("default"), lifespan=no_lifespan)
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root_path,
        "query_string": b"",
        "headers": [],
    }
    await router(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body) if body.startswith(b"[") else body


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/models", ["models", {}]),
        ("/v1/models/first", ["first", {"name": "models"}]),
        ("/v1/models/last", ["last", {}]),
        ("/v1/models/x", ["model", {"id": "x"}]),
        ("/v1/models/", ["default", {}]),
        ("/page", ["page", {}]),
    ],
)
async def test_a_path_has_its_first_route(path: str, expected: list[object]) -> None:
    assert await answer(path) == (200, expected)


async def test_methods_and_a_mounted_root_are_left_to_the_routes() -> None:
    assert (await answer("/page", "POST"))[0] == 405
    assert await answer("/llm/v1/models", root_path="/llm") == (200, ["models", {}])
