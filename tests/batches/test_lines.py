"""Inputs of every kind: each line is a request or an error, in bounded memory."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.batches.lines import (
    MAX_ERRORS,
    MAX_LINES,
    InputCheck,
    InputLine,
    InputReader,
    InvalidLine,
    parse_line,
)

URL = "/v1/completions"


def line(custom_id: str, **more: object) -> bytes:
    request = {"custom_id": custom_id, "method": "POST", "url": URL, "body": {"model": "m"}, **more}
    return json.dumps(request).encode() + b"\n"


def read(path: Path, data: bytes, max_line_bytes: int = 1 << 20, piece: int = 100) -> InputCheck:
    path.write_bytes(data)
    reader, check = InputReader(path, max_line_bytes), InputCheck(URL)
    while lines := reader.read(piece):
        for number, content in lines:
            check.check(number, content)
    reader.close()
    check.finish()
    return check


def test_lines_are_numbered_as_editors_number_them(tmp_path: Path) -> None:
    check = read(tmp_path / "in", b"\n" + line("a") + b"  \r\n" + line("b")[:-1])
    assert (check.num_lines, check.errors, check.model, check.model_line) == (2, [], "m", 2)
    check = read(tmp_path / "in", b"\n" + line("a") + b"\n{\n" + line("b"))
    assert [(error.code, error.line) for error in check.errors] == [("invalid_json_line", 4)]


def test_a_line_that_is_too_long_is_skipped_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "in"
    with path.open("wb") as file:
        file.write(line("a"))
        for _ in range(200):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + line("b"))
    reader, check = InputReader(path), InputCheck(URL)
    tracemalloc.start()
    while lines := reader.read(1 << 18):
        for number, content in lines:
            check.check(number, content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reader.close()
    assert [(error.message, error.line) for error in check.errors] == [("This line is too long.", 2)]
    assert check.num_lines == 3
    assert peak < 64 << 20


def test_no_more_faults_are_listed_than_a_person_reads() -> None:
    check = InputCheck(URL)
    for number in range(1, MAX_ERRORS + 10):
        check.check(number, b"{\n")
    assert len(check.errors) == MAX_ERRORS

    check = InputCheck(URL)
    check.check(1, line("a"))
    for number in range(2, MAX_ERRORS + 2):  # each of them has two faults, but the first has one
        check.check(number, line("b") if number == 2 else line("b", body={"model": "other"}))
    assert len(check.errors) == MAX_ERRORS


def test_an_id_has_between_1_and_512_characters() -> None:
    parse_line(1, line("x" * 512), URL)
    for custom_id, code, text in (
        ("x" * 513, "string_above_max_length", "too long"),
        ("", "empty_string", "empty"),
    ):
        with pytest.raises(InvalidLine) as caught:
            parse_line(1, line(custom_id), URL)
        error = caught.value.error
        assert (error.code, error.param) == (code, "custom_id")
        assert text in error.message


def test_an_input_has_a_largest_number_of_lines() -> None:
    check = InputCheck(URL)
    for number in range(1, MAX_LINES + 3):
        check.check(number, b'{"custom_id":"%d","method":"POST","url":"/v1/completions","body":{}}' % number)
    assert [(error.code, error.line) for error in check.errors] == [("too_many_tasks", None)]
    assert check.is_decided


def test_a_line_of_many_values_is_refused_before_it_is_parsed() -> None:
    data = line("a", body={"model": "m", "x": [0] * 600_000})
    with pytest.raises(InvalidLine) as invalid:
        parse_line(1, data, URL)
    assert "too many values" in invalid.value.error.message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "custom_id": _JSON,
            "method": st.just("POST") | _JSON,
            "url": st.just(URL) | _JSON,
            "body": _JSON | st.just({"model": "m"}),
        },
    )
)
def test_any_object_is_a_request_or_a_fault(request_: dict[str, object]) -> None:
    data = json.dumps(request_).encode()
    try:
        assert isinstance(parse_line(1, data, URL), InputLine)
    except InvalidLine as exc:
        assert exc.error.code and exc.error.message and exc.error.line == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_checked(data: bytes) -> None:
    check = InputCheck(URL)
    for number, piece in enumerate(data.splitlines(keepends=True), start=1):
        if piece.strip():
            check.check(number, piece)
    check.finish()
    assert check.errors
