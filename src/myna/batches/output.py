"""The results of a batch while it runs: two contents of lines, which are only appended to.

They are the record of what has been answered. After a crash, their whole lines are copied to new contents, so
that a server which was thought dead can only append to the old ones, which no row names any more.
"""

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from myna.batches.lines import digest_of
from myna.core.files import new_file_id
from myna.stores.file_folder import FileFolder

_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one line; `body` is JSON. `status` 0: it never ran; then `body` is the reason, an object
    with a code and a message."""

    custom_id: str
    status: int
    request_id: str
    body: bytes

    @property
    def is_success(self) -> bool:
        return self.status == 200

    def line(self, body: object) -> bytes:
        """As OpenAI writes it, which is as Python writes JSON. `body` is the parsed body; one that is nested
        too deeply for that is written as a text."""
        try:
            return self._line(body)
        except RecursionError:
            return self._line(self.body.decode())

    def _line(self, body: object) -> bytes:
        ran = {"status_code": self.status, "request_id": self.request_id, "body": body}
        shape = {
            "id": f"batch_req_{secrets.token_hex(16)}",
            "custom_id": self.custom_id,
            "response": ran if self.status else None,
            "error": None if self.status else body,
        }
        return json.dumps(shape).encode("ascii") + b"\n"


@dataclass(slots=True)
class BatchTotals:
    """What the lines with an answer are, and have used."""

    num_completed: int = 0
    num_failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    done: set[bytes] = field(default_factory=set)

    def count(self, custom_id: str, body: object, *, is_success: bool) -> None:
        self.done.add(digest_of(custom_id))
        if not is_success:
            self.num_failed += 1
            return
        self.num_completed += 1
        usage = body.get("usage") if isinstance(body, dict) else None
        if isinstance(usage, dict):
            self.input_tokens += _number(usage, "input_tokens") or _number(usage, "prompt_tokens")
            self.output_tokens += _number(usage, "output_tokens") or _number(usage, "completion_tokens")
            self.cached_tokens += _detail(usage, ("input", "prompt"), "cached_tokens")
            self.reasoning_tokens += _detail(usage, ("output", "completion"), "reasoning_tokens")

    def columns(self) -> dict[str, int]:
        """The columns of the batch's row."""
        return {
            "num_completed": self.num_completed,
            "num_failed": self.num_failed,
            "input_tokens": self.input_tokens,
            "cached_tokens": self.cached_tokens,
            "output_tokens": self.output_tokens,
            "reasoning_tokens": self.reasoning_tokens,
        }


class Output:
    """The two contents, open for appending, and the totals of their lines. Blocking; for one thread at a
    time."""

    def __init__(self, folder: FileFolder, results: str = "", errors: str = "") -> None:
        """Begins with the whole lines of earlier contents, if there are some. Raises `OSError`, and leaves
        nothing behind then."""
        self.totals = BatchTotals()
        self._folder = folder
        with contextlib.ExitStack() as created:
            self.results = folder.create(new_file_id())
            created.callback(self.results.discard)
            self.errors = folder.create(new_file_id())
            created.callback(self.errors.discard)
            self._copy(results, errors)
            created.pop_all()

    def _copy(self, results: str, errors: str) -> None:
        for name, content, is_success in ((results, self.results, True), (errors, self.errors, False)):
            path, buffer = self._folder.path_of(name), bytearray()
            for line, found in _whole_lines(path) if name and path.exists() else ():
                if not is_success and found.get("response") is None:
                    continue  # written when the batch was about to end, and again when it does
                body = found["response"].get("body")
                self.totals.count(found["custom_id"], body, is_success=is_success)
                buffer += line
                if len(buffer) >= _COPY_BYTES:
                    content.append(bytes(buffer))
                    buffer.clear()
            content.append(bytes(buffer))
        self.sync()

    def append(self, pending: list[Result]) -> None:
        """Append the lines, and remove from the list what was appended. Raises `OSError`."""
        for content, is_success in ((self.results, True), (self.errors, False)):
            some = [result for result in pending if result.is_success is is_success]
            if some:
                bodies = [_parsed(result.body) for result in some]
                content.append(b"".join(map(Result.line, some, bodies)))
                pending[:] = [result for result in pending if result.is_success is not is_success]
                for result, body in zip(some, bodies, strict=True):
                    if result.status:
                        self.totals.count(result.custom_id, body, is_success=is_success)

    def sync(self) -> None:
        """Returns when all lines survive a crash of the machine. Raises `OSError`."""
        self.results.sync()
        self.errors.sync()
        self._folder.sync()

    def close(self) -> None:
        self.results.close()
        self.errors.close()


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # what a relayed model's server has answered
        return body.decode("utf-8", "replace")


def _whole_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The lines up to the first one that a crash has cut off or left empty."""
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                return
            if not isinstance(found, dict) or not isinstance(found.get("custom_id"), str):
                return
            yield line, found


def _number(usage: Mapping[str, object], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def _detail(usage: Mapping[str, object], kinds: tuple[str, ...], name: str) -> int:
    for kind in kinds:
        details = usage.get(f"{kind}_tokens_details")
        if isinstance(details, dict):
            return _number(details, name)
    return 0
