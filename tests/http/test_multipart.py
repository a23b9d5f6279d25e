"""Multipart bodies: what browsers and clients write, cut anywhere, and what nobody should write."""

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.errors import InvalidRequest
from myna.http.multipart import MultipartParser, PartBegin, PartData, PartEnd

TYPE = "multipart/form-data; boundary=XX"


def _parse(body: bytes, cuts: list[int] | None = None, content_type: str = TYPE) -> list[tuple[object, ...]]:
    """The parts: name, name of the file, content."""
    parser, parts = MultipartParser(content_type), list[tuple[object, ...]]()
    ends = [*sorted(min(cut, len(body)) for cut in cuts or []), len(body)]
    for start, end in zip([0, *ends], ends, strict=False):
        for event in parser.feed(body[start:end]):
            match event:
                case PartBegin():
                    head, content = (event.name, event.filename), b""
                case PartData():
                    content += event.data
                case PartEnd():
                    parts.append((*head, content))
    parser.close()
    return parts


def _part(disposition: str, content: bytes, *more: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: form-data; {disposition}", *more])
    return b"--XX\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


BODY = (
    _part('name="purpose"', b"batch")
    + _part('name="file"; filename="a.jsonl"', b"--XX\n\r\n--X\r\n--\r\n\r", "Content-Type: text/plain")
    + _part('name="empty"', b"")
    + b"--XX--\r\n"
)
PARTS = [("purpose", None, b"batch"), ("file", "a.jsonl", b"--XX\n\r\n--X\r\n--\r\n\r"), ("empty", None, b"")]


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_wherever_a_body_is_cut_its_parts_are_the_same(cuts: list[int]) -> None:
    assert _parse(BODY, cuts) == PARTS
    assert _parse(b"a preamble\r\n" + BODY + b"an epilogue", cuts) == PARTS


def test_a_body_arrives_byte_by_byte() -> None:
    assert _parse(BODY, list(range(len(BODY)))) == PARTS


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        ('name="file"; filename="喂.jsonl"', "file", "喂.jsonl"),
        ("filename=a.jsonl; name=file", "file", "a.jsonl"),
        ('name="file"; filename="x"; filename*=UTF-8\'\'%E5%96%82.jsonl', "file", "喂.jsonl"),
        ('name="file"; filename="a\\"b; name=x.jsonl"', "file", 'a"b; name=x.jsonl'),
        ('name="file"; filename="C:\\data\\a.jsonl"', "file", "C:\\data\\a.jsonl"),
        ('name="file"; filename=""', "file", ""),
    ],
)
def test_names_are_read_as_clients_write_them(disposition: str, name: str, filename: str) -> None:
    assert _parse(_part(disposition, b"x") + b"--XX--") == [(name, filename, b"x")]


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 71}"],
)
def test_a_boundary_is_required(content_type: str) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        MultipartParser(content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY[:-6],
        b"--XX\r\n\r\nno name\r\n--XX--",
        b"--XXY\r\n",
        b"--XX\r\nContent-Disposition: form-data; " + b"x" * 9000,
        _part('name="a"', b"") * 40,
    ],
)
def test_what_is_not_a_form_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        _parse(body)


@given(st.binary(max_size=400), st.integers(0, 1 << 30))
def test_any_bytes_are_refused_or_parsed(junk: bytes, seed: int) -> None:
    body, rng = bytearray(BODY), random.Random(seed)
    for byte in junk:
        body[rng.randrange(len(body))] = byte
    with contextlib.suppress(InvalidRequest):
        _parse(bytes(body), [len(body) // 2])


def test_a_content_of_near_boundaries_takes_no_memory_and_no_time() -> None:
    parser = MultipartParser(TYPE)
    list(parser.feed(b'--XX\r\nContent-Disposition: form-data; name="file"\r\n\r\n'))
    piece, num_bytes = b"\r\n--X" * 20_000, 0
    for _ in range(100):
        num_bytes += sum(len(event.data) for event in parser.feed(piece) if isinstance(event, PartData))
        assert len(parser._buffer) < 10
    assert num_bytes > 99 * len(piece)
