"""The lines of a batch's input: reads them in pieces of bounded size, and finds what is wrong with them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from myna.core.errors import InvalidRequest
from myna.http.json_bodies import check_size, parse
from myna.wire import validation_errors

MAX_LINES: Final = 50_000
MAX_ERRORS: Final = 50
MAX_LINE_BYTES: Final = 16 << 20
"""As long as a request's body may be, by default."""
_MAX_CUSTOM_ID: Final = 512
_CHECKED_BYTES: Final = 16 << 10
_REQUIRED: Final = ("custom_id", "method", "url", "body")


@dataclass(frozen=True, slots=True)
class InputLine:
    """A request of the input. `digest` stands for its `custom_id`, which is unique."""

    custom_id: str
    digest: bytes
    body: dict[str, object]


@dataclass(frozen=True, slots=True)
class BatchError:
    """What is wrong with the input, in OpenAI's words. `line` starts at 1; None: with all of it."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def shape(self) -> dict[str, object]:
        return {"code": self.code, "message": self.message, "param": self.param, "line": self.line}


class InvalidLine(Exception):
    """A line that is not a request; `error` says why."""

    def __init__(self, error: BatchError) -> None:
        super().__init__(error.message)
        self.error = error


class InputReader:
    """The numbered lines of a file; blank ones are left out. Blocking; for one thread at a time."""

    def __init__(self, path: Path, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        """Raises `OSError`."""
        self._file = path.open("rb")
        self._max_line_bytes = max_line_bytes
        self._number = 0

    def read(self, max_bytes: int) -> list[tuple[int, bytes | None]]:
        """The next lines, until they have that many bytes; empty at the end. None: the line is too long."""
        lines, num_bytes = list[tuple[int, bytes | None]](), 0
        while num_bytes < max_bytes and (line := self._file.readline(self._max_line_bytes + 1)):
            self._number += 1
            num_bytes += len(line)
            if len(line) > self._max_line_bytes and not line.endswith(b"\n"):
                self._skip_line()
                lines.append((self._number, None))
            elif line.strip():
                lines.append((self._number, line))
        return lines

    def close(self) -> None:
        self._file.close()

    def _skip_line(self) -> None:
        while (piece := self._file.readline(1 << 20)) and not piece.endswith(b"\n"):
            pass


def parse_line(number: int, data: bytes | None, endpoint: str) -> InputLine:
    """The request in a line. Raises `InvalidLine`."""
    if data is None:
        raise InvalidLine(BatchError("invalid_json_line", "This line is too long.", number))
    try:
        if len(data) > _CHECKED_BYTES:
            check_size(data)
        line = parse(data)
    except orjson.JSONDecodeError:
        raise InvalidLine(
            BatchError("invalid_json_line", "This line is not parseable as valid JSON.", number)
        ) from None
    except InvalidRequest as exc:
        raise InvalidLine(BatchError("invalid_json_line", exc.message, number)) from None
    if not isinstance(line, dict):
        raise InvalidLine(BatchError("invalid_json_line", "This line is not a JSON object.", number))
    for name in _REQUIRED:
        if line.get(name) is None:
            raise InvalidLine(_batch_error(validation_errors.missing().at_param(name), number))
    custom_id, body = line["custom_id"], line["body"]
    for name, noun, value, kind in (
        ("custom_id", "a string", custom_id, str),
        ("body", "an object", body, dict),
    ):
        if not isinstance(value, kind):
            raise InvalidLine(
                _batch_error(validation_errors.invalid_type(noun, value).at_param(name), number)
            )
    if not custom_id:
        raise InvalidLine(_batch_error(validation_errors.empty("string").at_param("custom_id"), number))
    if len(custom_id) > _MAX_CUSTOM_ID:
        error = validation_errors.too_long("string", _MAX_CUSTOM_ID, len(custom_id)).at_param("custom_id")
        raise InvalidLine(_batch_error(error, number))
    _check_target(line, number, endpoint)
    return InputLine(custom_id, digest_of(custom_id), body)


def digest_of(custom_id: str) -> bytes:
    return hashlib.blake2b(custom_id.encode(), digest_size=16).digest()


def request_id_of(batch_id: str, custom_id: str) -> str:
    """The id of the line's requests, in the form of all requests' ids."""
    text = f"{batch_id}/{custom_id}"
    return f"req_{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def _check_target(line: dict[str, object], number: int, endpoint: str) -> None:
    if line["method"] != "POST":
        method = validation_errors.echoed(str(line["method"]))
        text = f"Invalid method: '{method}'. Only 'POST' is supported."
        raise InvalidLine(BatchError("invalid_method", text, number, "method"))
    if line["url"] != endpoint:
        url = validation_errors.echoed(str(line["url"]))
        text = f"The URL of this request, '{url}', is not the endpoint of the batch, '{endpoint}'."
        raise InvalidLine(BatchError("mismatched_endpoint", text, number, "url"))


def _batch_error(error: InvalidRequest, number: int) -> BatchError:
    return BatchError(error.code or "invalid_request", error.message, number, error.param)


@dataclass(slots=True)
class InputCheck:
    """Checks all lines in order, until the input fails. `model` is the model that they name."""

    endpoint: str
    num_lines: int = 0
    model: str = ""
    model_line: int = 0
    errors: list[BatchError] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)

    @property
    def is_decided(self) -> bool:
        """Whether the input fails, whatever follows."""
        return len(self.errors) >= MAX_ERRORS or self.num_lines > MAX_LINES

    def check(self, number: int, data: bytes | None) -> None:
        if self.is_decided:
            return
        self.num_lines += 1
        if self.num_lines > MAX_LINES:
            text = f"The input has more than {MAX_LINES:,} requests."
            self.errors.append(BatchError("too_many_tasks", text))
            return
        try:
            line = parse_line(number, data, self.endpoint)
        except InvalidLine as exc:
            self.errors.append(exc.error)
            return
        self.errors += islice(self._errors_among(number, line), MAX_ERRORS - len(self.errors))

    def finish(self) -> None:
        """All lines have been checked."""
        if not self.num_lines:
            self.errors.append(BatchError("empty_file", "The input file is empty."))

    def _errors_among(self, number: int, line: InputLine) -> Iterator[BatchError]:
        """What is wrong with the line because of earlier ones."""
        if line.digest in self._seen:
            text = (
                f"The custom_id '{validation_errors.echoed(line.custom_id)}' for this request is a duplicate "
                "of another request. The custom_id parameter must be unique for each request in a batch."
            )
            yield BatchError("duplicate_custom_id", text, number, "custom_id")
        self._seen.add(line.digest)
        model = line.body.get("model")
        if not isinstance(model, str):
            return  # the endpoint's answer says what is wrong
        if not self.model:
            self.model, self.model_line = model, number
        elif model != self.model:
            text = (
                f"The model of this request, '{validation_errors.echoed(model)}', is not that of the batch, "
                f"'{validation_errors.echoed(self.model)}'. All requests of a batch must have the same model."
            )
            yield BatchError("mismatched_model", text, number, "body.model")
