"""Files and batches."""

import json
import time
from typing import Any, Final

import openai

from myna.cli.checks.server import TIMEOUT_S, Check, ExpectationFailed, ServerUnderTest, expect

_GROUP: Final = "Batches"
_COMPLETIONS: Final = "/v1/completions"
_ENDED: Final = ("completed", "failed", "expired", "cancelled")


def _file(server: ServerUnderTest) -> None:
    data = b'{"custom_id": "1"}\n'
    created = server.client.files.create(file=("check.jsonl", data), purpose="batch")
    found = server.client.files.retrieve(created.id)
    expect((found.bytes, found.filename) == (len(data), "check.jsonl"), f"retrieved {found}")
    expect(created.id in [file.id for file in server.client.files.list(limit=10)], "it isn't listed")
    expect(server.client.files.content(created.id).content == data, "the content is another one")
    expect(server.client.files.delete(created.id).deleted, "it isn't deleted")
    try:
        server.client.files.retrieve(created.id)
    except openai.NotFoundError:
        return
    raise ExpectationFailed("a deleted file was found")


def _runs(server: ServerUnderTest) -> None:
    body = {"model": server.model, "prompt": "Once upon a time", "max_tokens": 4, "temperature": 0}
    batch = _run(server, _line("good", body), _line("bad", {**body, "temperature": 9}))
    expect(batch.status == "completed", f"the status is {batch.status}")
    good, bad = _results(server, batch.output_file_id), _results(server, batch.error_file_id)
    expect(list(good) == ["good"] and list(bad) == ["bad"], f"results: {list(good)}, errors: {list(bad)}")
    expect(good["good"]["response"]["body"]["object"] == "text_completion", "the body isn't a completion")
    status = bad["bad"]["response"]["status_code"]
    expect(status == 400 and bad["bad"]["error"] is None, f"the error is {bad['bad']}")


def _validates(server: ServerUnderTest) -> None:
    batch = _run(server, b"this is not JSON\n")
    expect(batch.status == "failed", f"the status is {batch.status}")
    errors = (batch.errors and batch.errors.data) or [None]
    expect(errors[0] and errors[0].code == "invalid_json_line", f"errors: {errors}")


def _cancels_once(server: ServerUnderTest) -> None:
    batch = _run(server, b"\n")
    try:
        server.client.batches.cancel(batch.id)
    except openai.ConflictError:
        return
    raise ExpectationFailed("a batch that has ended was cancelled")


def _run(server: ServerUnderTest, *lines: bytes) -> Any:
    """The batch once it has ended; its input is deleted."""
    file = server.client.files.create(file=("check.jsonl", b"".join(lines)), purpose="batch")
    batch = server.client.batches.create(
        input_file_id=file.id, endpoint=_COMPLETIONS, completion_window="24h"
    )
    deadline = time.monotonic() + TIMEOUT_S
    while batch.status not in _ENDED:
        expect(time.monotonic() < deadline, f"it is still {batch.status} after {TIMEOUT_S:.0f} s")
        time.sleep(0.1)
        batch = server.client.batches.retrieve(batch.id)
    server.client.files.delete(file.id)
    return batch


def _line(custom_id: str, body: dict[str, object]) -> bytes:
    request = {"custom_id": custom_id, "method": "POST", "url": _COMPLETIONS, "body": body}
    return json.dumps(request).encode() + b"\n"


def _results(server: ServerUnderTest, file_id: str | None) -> dict[str, Any]:
    """The lines of a result by custom_id; the file is deleted."""
    expect(file_id, "there is no file")
    text = server.client.files.content(str(file_id)).text
    server.client.files.delete(str(file_id))
    return {line["custom_id"]: line for line in map(json.loads, text.splitlines())}


CHECKS: Final = (
    Check(_GROUP, "files: upload, list, content, delete", _file),
    Check(_GROUP, "a batch runs: results in one file, errors in another", _runs),
    Check(_GROUP, "a wrong input fails later, with the line and a code", _validates),
    Check(_GROUP, "cancelling a batch that has ended: 409", _cancels_once),
)
