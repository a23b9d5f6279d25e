"""Text that carries its template: finished English for all, translatable for the command line."""

from pathlib import Path

import msgspec

from myna.core.errors import OperatorError
from myna.core.translatable import N_, Translatable, joined


def test_it_is_its_english_text() -> None:
    text = N_("{path} has {size:,} bytes ({reason!r}).", path=Path("/bird"), size=12345, reason="late")
    assert str(text) == f"{text}" == "/bird has 12,345 bytes ('late')."


def test_a_text_without_fields_may_have_braces() -> None:
    assert str(N_('{ model = "..." }')) == '{ model = "..." }'


def test_it_holds_text_numbers_and_others_of_its_kind_alone() -> None:
    inner = N_("no answer in time")
    text = N_("{reason}: {error} {count}", reason=inner, error=ValueError("x"), count=3)
    assert dict(text.arguments) == {"reason": inner, "error": "x", "count": 3}
    assert str(text) == "no answer in time: x 3"
    assert {text: 1}[text] == 1


def test_it_goes_between_processes() -> None:
    text = N_("{reason}: {count}", reason=N_("no answer in time"), count=3)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(text), type=Translatable) == text


def test_an_error_s_message_is_plain_english() -> None:
    error = OperatorError(N_("There is no file {path}.", path="bird"))
    assert type(error.message) is str
    assert error.message == str(error) == str(error.text) == "There is no file bird."
    assert OperatorError("As it is: {x}").text == "As it is: {x}"


def test_texts_that_are_joined_keep_their_templates() -> None:
    inner = N_("There is no file {path}.", path="bird")
    text = joined(": ", ("native", inner))
    assert str(text) == "native: There is no file bird."
    assert [value for _, value in text.arguments] == ["native", inner]
