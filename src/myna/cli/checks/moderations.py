"""The Moderations API, on servers that list a model for it."""

from typing import Any, Final

from myna.cli.checks.server import Check, ServerUnderTest, expect

_GROUP: Final = "Moderations"
_MODEL: Final = "omni-moderation-latest"
_TEXTS: Final = ("A bird is singing.", "I will kill you.")
_NUM_CATEGORIES: Final = 13


def _applies(server: ServerUnderTest) -> bool:
    return any(model.id == _MODEL for model in server.client.models.list())


def _results(server: ServerUnderTest, given: object) -> list[dict[str, Any]]:
    """The results, as sent."""
    response = server.post("moderations", {"model": _MODEL, "input": given})
    expect(response.status_code == 200, f"HTTP {response.status_code}")
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def _client(server: ServerUnderTest) -> None:
    answer = server.client.moderations.create(input=_TEXTS[0])
    expect(len(answer.results) == 1, f"{len(answer.results)} results for one text")
    expect(isinstance(answer.results[0].flagged, bool), f"flagged is {answer.results[0].flagged!r}")


def _categories(server: ServerUnderTest) -> None:
    (result,) = _results(server, _TEXTS[1])
    names = result["categories"].keys()
    expect(len(names) == _NUM_CATEGORIES, f"{len(names)} categories")
    for part in ("category_scores", "category_applied_input_types"):
        expect(result[part].keys() == names, f"{part} has other keys than categories")
    wrong = {name: score for name, score in result["category_scores"].items() if not 0 <= score <= 1}
    expect(not wrong, f"scores are {wrong}")


def _several(server: ServerUnderTest) -> None:
    together = [result["flagged"] for result in _results(server, list(_TEXTS))]
    alone = [_results(server, text)[0]["flagged"] for text in _TEXTS]
    expect(together == alone, f"together {together}, alone {alone}")


def _parts(server: ServerUnderTest) -> None:
    results = _results(server, [{"type": "text", "text": text} for text in _TEXTS])
    expect(len(results) == 1, f"{len(results)} results for one input in parts")


def _refuses(**body: object) -> Any:
    def check(server: ServerUnderTest) -> None:
        server.refused("moderations", {"model": _MODEL, **body})

    return check


CHECKS: Final = tuple(
    Check(_GROUP, behaviour, run, _applies)
    for behaviour, run in (
        ("the client, which names no model", _client),
        ("13 categories, with scores from 0 to 1 and input types", _categories),
        ("several texts, in order, each flagged as alone", _several),
        ("parts are one input with one result", _parts),
        ("no input: 400", _refuses()),
        ("an input of the wrong type: 400", _refuses(input=7)),
    )
)
