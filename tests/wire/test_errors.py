"""One error, one row: statuses, texts, key order and bytes as OpenAI's layers write them."""

import json
from collections.abc import Iterator

import pytest

from myna.core import errors as core
from myna.core.errors import MynaError
from myna.wire import errors
from myna.wire.errors import ERROR_ROWS, error_event, error_response, error_row


def _leaves(kind: type[MynaError] = MynaError) -> Iterator[type[MynaError]]:
    for child in kind.__subclasses__():
        if child.__module__.startswith("myna."):
            yield child
            yield from _leaves(child)


def test_every_error_has_a_row_of_its_own() -> None:
    """Those of core and of HTTP; a folder's own refinement of one takes that one's row."""
    leaves = [leaf for leaf in _leaves() if leaf.__module__.split(".")[1] in ("core", "serving")]
    assert len(leaves) > 15
    assert [leaf.__name__ for leaf in leaves if leaf not in ERROR_ROWS] == []


def test_a_clients_mistake_is_never_a_5xx_and_a_server_error_never_a_4xx() -> None:
    for kind, row in ERROR_ROWS.items():
        assert (row.status < 500) == issubclass(kind, core.RequestError), kind


def test_a_validation_error_has_two_spaces_and_no_newline() -> None:
    exc = core.InvalidRequest("Invalid 'n'.", param="n", code="integer_below_min_value")
    response = error_response(exc, "req_1")
    assert response.status_code == 400
    assert bytes(response.body) == (
        b'{\n  "error": {\n    "message": "Invalid \'n\'.",\n    "type": "invalid_request_error",\n'
        b'    "param": "n",\n    "code": "integer_below_min_value"\n  }\n}'
    )
    assert response.headers["content-type"] == "application/json"


def test_a_gateways_error_has_four_spaces_a_newline_and_vary() -> None:
    response = error_response(core.AuthenticationFailed("no", code="invalid_api_key"), "req_1")
    assert response.status_code == 401
    assert bytes(response.body) == (
        b'{\n    "error": {\n        "message": "no",\n        "type": "invalid_request_error",\n'
        b'        "param": null,\n        "code": "invalid_api_key"\n    }\n}\n'
    )
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["vary"] == "Origin"


def test_an_unknown_url_has_its_own_key_order() -> None:
    body = json.loads(bytes(error_response(errors.UnknownUrl("gone"), "req_1").body))
    assert list(body["error"]) == ["type", "code", "message", "param"]


def test_an_overloaded_server_says_when_to_come_back() -> None:
    response = error_response(core.Overloaded("full", retry_after_s=0.25), "req_1")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.headers["retry-after-ms"] == "250"
    assert response.headers["x-should-retry"] == "true"
    error = json.loads(bytes(response.body))["error"]
    assert (error["type"], error["code"]) == ("service_unavailable_error", "server_is_overloaded")


@pytest.mark.parametrize(
    "exc", [ZeroDivisionError("secret detail"), core.ModelFileError("/home/me/x.gguf is cut short")]
)
def test_a_server_error_names_the_request_and_hides_its_cause(exc: Exception) -> None:
    response = error_response(exc, "req_77")
    assert response.status_code == 500
    assert b"req_77" in response.body
    assert str(exc).encode() not in response.body
    assert json.loads(bytes(response.body))["error"]["type"] == "server_error"


def test_text_is_written_as_it_is_and_half_a_surrogate_does_no_harm() -> None:
    assert "你好".encode() in error_response(core.InvalidRequest("你好"), "r").body
    assert json.loads(error_event(core.InvalidRequest("\ud800"), "r")[6:].replace(b"\\", b"\\\\"))


def test_an_error_event_is_one_line_with_the_envelope() -> None:
    event = error_event(core.EngineDead("worker 7 died"), "req_5")
    assert event.startswith(b'data: {"error":{"message":"The server had an error')
    assert event.endswith(b'"type":"server_error","param":null,"code":null}}\n\n')
    assert event.count(b"\n") == 2


def test_a_new_kind_of_error_is_shown_as_its_nearest_ancestor() -> None:
    class Newer(core.InvalidRequest):
        pass

    assert error_row(Newer("x")) is ERROR_ROWS[core.InvalidRequest]


def test_attributes_of_strangers_exceptions_are_not_shown() -> None:
    """SQLAlchemy's errors, for one, have a `code` that is part of an address of its manual."""
    stranger = OSError("disk full")
    stranger.code, stranger.param = "e3q8", "user"  # type: ignore[attr-defined]
    for body in (
        error_response(stranger, "req_1").body,
        error_event(stranger, "req_1").removeprefix(b"data: "),
    ):
        error = json.loads(bytes(body))["error"]
        assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)
        assert "disk full" not in error["message"]


def test_a_database_that_is_away_is_worth_a_retry() -> None:
    response = error_response(core.DatabaseUnavailable("the database /home/ana is locked"), "req_1")
    assert response.status_code == 503
    assert response.headers["x-should-retry"] == "true"
    assert b"ana" not in bytes(response.body)
