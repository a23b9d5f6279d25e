"""Files over HTTP: what the official client sends and gets, and what clients should not send."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send
from tests.http.live import Live, Reply, running
from tests.http.scripted import KEY, ScriptedGenerator, pool_of, services

from myna.core.files import StoredFile
from myna.request.services import Services
from myna.stores.database_threads import DatabaseThreads
from myna.stores.files import FileLimits, Files
from myna.stores.files_memory import MemoryFiles

FAMILIES = ("myna.api.files.routes",)
LINE = b'{"custom_id": "1"}\n'


def _services(path: Path, limits: FileLimits | None = None) -> Services:
    made = services(pool_of(ScriptedGenerator([])))
    return replace(made, files=Files(MemoryFiles(), path, DatabaseThreads(1), limits))


def _client(live: Live) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=live.base_url, api_key=KEY, max_retries=0)


def _contents(path: Path) -> list[Path]:
    return list(path.rglob("file-*"))


async def _post(live: Live, *parts: tuple[str, bytes], end: bytes = b"--XX--\r\n") -> Reply:
    body = b"".join(
        b"--XX\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )
    return await live.ask("POST", "/v1/files", body + end, "Content-Type: multipart/form-data; boundary=XX")


PURPOSE = ('name="purpose"', b"batch")
ANCHOR = ("name=expires_after[anchor]", b"created_at")
FILE = ('name="file"; filename="in.jsonl"', LINE)


async def test_the_official_client_uploads_lists_reads_and_deletes(tmp_path: Path) -> None:
    async with running(_services(tmp_path), families=FAMILIES) as live, _client(live) as client:
        created = [await client.files.create(file=("喂.jsonl", LINE * n), purpose="batch") for n in (1, 2, 3)]
        listed = [file.id async for file in client.files.list(limit=2)]
        oldest = await client.files.list(order="asc", limit=1)
        found = await client.files.retrieve(created[0].id)
        content = await client.files.content(created[1].id)
        deleted = await client.files.delete(created[1].id)
        with pytest.raises(openai.NotFoundError) as gone:
            await client.files.content(created[1].id)
    first = created[0]
    assert first == found and first.expires_at == first.created_at + 30 * 86_400
    assert (first.object, first.bytes, first.filename, first.purpose) == (
        "file",
        len(LINE),
        "喂.jsonl",
        "batch",
    )
    assert listed == [file.id for file in reversed(created)]
    assert [file.id for file in oldest.data] == [first.id] and oldest.has_more
    assert content.content == LINE * 2
    assert (deleted.id, deleted.object, deleted.deleted) == (created[1].id, "file", True)
    assert gone.value.status_code == 404


@pytest.mark.parametrize(
    ("wanted", "status", "said"),
    [("bytes=900-", 416, "no such bytes"), ("bytes=9-2", 400, "ranges of bytes"), ("lines=1-", 400, "bytes")],
)
async def test_a_wrong_range_is_openais_error(tmp_path: Path, wanted: str, status: int, said: str) -> None:
    async with running(_services(tmp_path), families=FAMILIES) as live:
        file_id = json.loads((await _post(live, FILE, PURPOSE)).body)["id"]
        refused = await live.ask("GET", f"/v1/files/{file_id}/content", b"", f"Range: {wanted}")
    error = json.loads(refused.body)["error"]
    assert (refused.status, error["type"], error["code"]) == (
        status,
        "invalid_request_error",
        "invalid_range",
    )
    assert said in error["message"]
    assert refused.headers["content-type"] == "application/json"
    assert refused.headers.get("content-range") == (f"bytes */{len(LINE)}" if status == 416 else None)


async def test_bodies_have_openais_order_and_spaces(tmp_path: Path) -> None:
    async with running(_services(tmp_path), families=FAMILIES) as live:
        created = await _post(live, FILE, PURPOSE)
        listed = await live.ask("GET", "/v1/files")
        file_id = json.loads(created.body)["id"]
        content = await live.ask("GET", f"/v1/files/{file_id}/content", b"", "Accept: application/binary")
        part = await live.ask("GET", f"/v1/files/{file_id}/content", b"", "Range: bytes=2-10")
        missing = await live.ask("GET", "/v1/files/fake_id")
    assert created.body == json.dumps(json.loads(created.body), indent=2).encode() + b"\n"
    keys = "object id purpose filename bytes created_at expires_at status status_details"
    assert list(json.loads(created.body)) == keys.split()
    assert list(json.loads(listed.body)) == ["object", "data", "has_more", "first_id", "last_id"]
    assert content.headers["content-type"] == "application/octet-stream"
    assert content.headers["content-disposition"] == 'attachment; filename="in.jsonl"'
    assert (part.status, part.body) == (206, LINE[2:11])
    text = "No such File object: fake_id"
    assert json.loads(missing.body) == {
        "error": {"message": text, "type": "invalid_request_error", "param": "id", "code": None},
        "detail": {"message": text, "code": None},
    }


@pytest.mark.parametrize(
    ("parts", "param", "message"),
    [
        ([("name=purpose", b"evals"), FILE], "purpose", "'evals' is not one of ['batch'] - 'purpose'"),
        ([FILE], "purpose", "'purpose' is a required property"),
        ([PURPOSE], "file", "'file' is a required property"),
        ([PURPOSE, ('name="file"; filename="in.jsonl"', b"")], None, "File is empty."),
        ([PURPOSE, ('name="file"; filename="in.txt"', LINE)], "file", "Must be .jsonl"),
        ([PURPOSE, FILE, FILE], "file", "Only one file"),
        ([PURPOSE, PURPOSE, FILE], "purpose", "given twice"),
        ([PURPOSE, FILE, ("name=colour", b"red")], "colour", "Unknown parameter: 'colour'."),
        ([("name=purpose", b"b" * 5000), FILE], "purpose", "too long"),
        ([PURPOSE, FILE, ('name="expires_after[seconds]"', b"7200")], "expires_after[anchor]", "created_at"),
        ([PURPOSE, FILE, ANCHOR, ("name=expires_after[seconds]", b"9")], "expires_after[seconds]", "2592000"),
    ],
)  # fmt: skip
async def test_a_wrong_form_is_refused_and_leaves_nothing(
    tmp_path: Path, parts: list[tuple[str, bytes]], param: str | None, message: str
) -> None:
    made = _services(tmp_path)
    async with running(made, families=FAMILIES) as live:
        reply = await _post(live, *parts)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["param"]) == (400, param)
    assert message in error["message"]
    assert _contents(tmp_path) == []


async def test_files_expire_as_requested(tmp_path: Path) -> None:
    async with running(_services(tmp_path), families=FAMILIES) as live, _client(live) as client:
        file = await client.files.create(
            file=("a.jsonl", LINE), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
        )
    assert file.expires_at == file.created_at + 3600


async def test_too_large_files_are_refused_whether_declared_or_not(tmp_path: Path) -> None:
    made = _services(tmp_path, FileLimits(max_file_bytes=100_000))
    async with running(made, families=FAMILIES) as live:
        inside = await _post(live, PURPOSE, ('name="file"; filename="in.jsonl"', bytes(100_000)))
        above = await _post(live, PURPOSE, ('name="file"; filename="in.jsonl"', bytes(100_001)))
        far_above = await _post(live, PURPOSE, ('name="file"; filename="in.jsonl"', bytes(400_000)))
    assert [reply.status for reply in (inside, above, far_above)] == [200, 413, 413]
    assert json.loads(above.body)["error"]["code"] == "file_too_large"
    assert len(_contents(tmp_path)) == 1


async def test_another_projects_files_do_not_exist(tmp_path: Path) -> None:
    made = _services(tmp_path)
    made.files.store.add(StoredFile("file-1", "theirs", "batch", "a.jsonl", 1, 1))
    async with running(made, families=FAMILIES) as live:
        listed = await live.ask("GET", "/v1/files")
        statuses = [
            (await live.ask(method, f"/v1/files/{file_id}{rest}")).status
            for method, rest in (("GET", ""), ("GET", "/content"), ("DELETE", ""))
            for file_id in ("file-1", "%00", "file-%ED%A0%80", "..%2F..%2Fkey", "file-" + "x" * 5000)
        ]
        after = await live.ask("GET", "/v1/files?after=file-1")
    assert json.loads(listed.body)["data"] == []
    assert set(statuses) == {404} and after.status == 404


async def test_a_file_that_is_deleted_while_it_is_sent_is_sent_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = FileResponse.__call__

    async def deleted_first(self: FileResponse, scope: Scope, receive: Receive, send: Send) -> None:
        for content in _contents(tmp_path):
            content.unlink()
        await sent(self, scope, receive, send)

    monkeypatch.setattr(FileResponse, "__call__", deleted_first)
    async with running(_services(tmp_path), families=FAMILIES) as live, _client(live) as client:
        created = await client.files.create(file=("in.jsonl", LINE * 9), purpose="batch")
        assert (await client.files.content(created.id)).read() == LINE * 9
        with pytest.raises(openai.NotFoundError):
            await client.files.content(created.id)


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    made = _services(tmp_path)
    async with running(made, families=FAMILIES) as live:
        connection = await live.send(
            b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + KEY.encode() +
            b"\r\nContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: 99999\r\n\r\n"
            b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n' + LINE
        )  # fmt: skip
        await connection.close()
        broken = await _post(live, PURPOSE, FILE, end=b"")
        reply = await _post(live, PURPOSE, FILE)
    assert (broken.status, reply.status) == (400, 200)
    assert len(_contents(tmp_path)) == 1


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("purpose=%00", "purpose"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("order=up", "order"),
        ("colour=red", "colour"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(tmp_path: Path, query: str, param: str) -> None:
    async with running(_services(tmp_path), families=FAMILIES) as live:
        reply = await live.ask("GET", f"/v1/files?{query}")
        mine = await live.ask("GET", "/v1/files?purpose=batch_output&limit=10000")
    assert (reply.status, json.loads(reply.body)["error"]["param"]) == (400, param)
    assert mine.status == 200


async def test_json_is_refused(tmp_path: Path) -> None:
    async with running(_services(tmp_path), families=FAMILIES) as live:
        reply = await live.ask("POST", "/v1/files", b'{"purpose": "batch"}')
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["code"] == "unsupported_content_type"


async def test_any_form_gets_an_answer_of_the_api(tmp_path: Path) -> None:
    """Forms of random pieces; each is refused or stored, and none is an error of the server."""
    pieces = st.sampled_from(
        [b"--XX\r\n", b"--XX--", b"\r\n", b"\0", b"\xff\xfe", b'Content-Disposition: form-data; name="file"',
         b'; filename="a.jsonl"', b'Content-Disposition: form-data; name="purpose"', b"batch", LINE]
    )  # fmt: skip
    bodies = list[bytes]()

    @given(st.lists(pieces, max_size=20))
    def collect(parts: list[bytes]) -> None:
        bodies.append(b"".join(parts))

    collect()
    content_type = "Content-Type: multipart/form-data; boundary=XX"
    async with running(_services(tmp_path), families=FAMILIES) as live:
        replies = [await live.ask("POST", "/v1/files", body, content_type) for body in bodies if body]
    assert {reply.status for reply in replies} <= {200, 400}


async def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import psutil

    process, piece = psutil.Process(os.getpid()), b'{"custom_id": "' + b"x" * 65_505 + b'"}\n'
    made: Any = _services(tmp_path, FileLimits(max_file_bytes=0, max_project_bytes=0))
    async with running(made, families=FAMILIES) as live:
        head = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        tail = b'\r\n--XX\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--XX--\r\n'
        length = len(head) + 1000 * len(piece) + len(tail)
        connection = await live.send(
            b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + KEY.encode() +
            b"\r\nContent-Type: multipart/form-data; boundary=XX\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % length + head
        )  # fmt: skip
        before = process.memory_info().rss
        for _ in range(1000):
            connection.writer.write(piece)
            await connection.writer.drain()
        connection.writer.write(tail)
        reply = await connection.reply()
        after = process.memory_info().rss
    assert json.loads(reply.body)["bytes"] == 1000 * len(piece)
    assert after - before < 32 << 20
