"""A batch that changes its server: who runs it, what counts, and what is left of the other's work."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from myna.batches.dispatch import Answer, LineRequest
from myna.batches.service import Batches
from myna.core.batches import Batch, new_batch_id
from myna.core.files import StoredFile
from myna.stores.database_threads import DatabaseThreads
from myna.stores.files import Files
from myna.stores.memory_stores import MemoryStores

PATH = "/v1/completions"


class Server:
    """One of several servers on the same database and folder. Its answers name it; `gate` holds them back."""

    def __init__(self, name: str, stores: MemoryStores, folder: Path, beat_s: float = 0.005) -> None:
        self.name = name
        self.now = 1000.0
        threads = DatabaseThreads(1)
        self.files = Files(stores.files(), folder, threads, clock=lambda: self.now)
        self.batches = Batches(stores.batches(), self.files, threads, 2, beat_s=beat_s)
        self.gate = asyncio.Event()
        self.is_asked = asyncio.Event()
        self.ids: list[str] = []

    async def dispatch(self, line: LineRequest) -> Answer:
        self.ids.append(line.id)
        self.is_asked.set()
        await self.gate.wait()
        return Answer(200, "r", json.dumps({"by": self.name}).encode())

    def start(self) -> None:
        self.batches.start(self.dispatch, lambda key_id, name: name)

    async def ended(self, batch_id: str) -> Batch:
        while True:
            batch = await self.batches.get("ours", batch_id)
            assert batch is not None
            if batch.is_finished:
                return batch


@asynccontextmanager
async def two_servers(folder: Path) -> AsyncIterator[tuple[Server, Server]]:
    stores = MemoryStores("memory:")
    servers = Server("first", stores, folder), Server("second", stores, folder)
    yield servers
    for server in servers:
        await server.batches.aclose()
        await server.files.aclose()


async def create(server: Server, *custom_ids: str, project: str = "ours", file_id: str = "file-in") -> str:
    lines = [
        json.dumps({"custom_id": one, "method": "POST", "url": PATH, "body": {"model": "m"}})
        for one in custom_ids
    ]
    data = "\n".join(lines).encode()
    upload = await server.files.upload(project, file_id)
    await upload.write(data)
    await upload.finish(StoredFile(file_id, project, "batch", "in.jsonl", len(data), 1))
    await upload.aclose()
    batch = Batch(new_batch_id(1), project, "key_1", PATH, file_id, 1, 100_000)
    await server.batches.create(batch)
    return batch.id


def results(server: Server, batch: Batch) -> dict[str, str]:
    text = server.files.folder.path_of(batch.output_file_id).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    found = {line["custom_id"]: line["response"]["body"]["by"] for line in lines}
    assert len(found) == len(lines)
    return found


async def test_a_server_that_stalls_is_replaced_and_changes_nothing_any_more(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as (first, second):
        batch_id = await create(first, "a", "b", "c")
        first.start()
        await first.is_asked.wait()
        second.now = first.now + 16  # the first one's last beat is too old by then
        second.gate.set()
        second.start()
        batch = await second.ended(batch_id)
        first.gate.set()
        await first.batches.aclose()
        assert (batch.status, batch.epoch) == ("completed", 2)
        assert results(second, batch) == dict.fromkeys("abc", "second")
        assert len(set(second.ids)) == 3
        assert set(first.ids) < set(second.ids), "a line has the same id wherever it runs"
        after = await second.batches.get("ours", batch_id)
    assert after == batch


async def test_what_one_server_has_done_the_next_one_keeps(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as (first, second):
        batch_id = await create(first, "a", "b", "c", "d")
        first.gate.set()
        first.start()
        done = await first.ended(batch_id)
        assert results(first, done) == dict.fromkeys("abcd", "first")
        again = await create_again(first, done)
        second.gate.set()
        second.start()
        batch = await second.ended(again)
    assert results(second, batch) == {"a": "first", "b": "first", "c": "second", "d": "second"}
    assert (batch.num_completed, batch.num_lines) == (4, 4)


async def test_a_batch_that_is_cancelled_before_it_notices_ends_as_cancelled(tmp_path: Path) -> None:
    server = Server("only", MemoryStores("memory:"), tmp_path, beat_s=1e6)
    batch_id = await create(server, "a")
    server.start()
    await server.is_asked.wait()
    cancelling = await server.batches.cancel("ours", batch_id)
    server.gate.set()
    batch = await server.ended(batch_id)
    await server.batches.aclose()
    await server.files.aclose()
    assert cancelling is not None and cancelling.status == "cancelling"
    assert (batch.status, batch.completed_at) == ("cancelled", None) and batch.cancelled_at is not None
    assert results(server, batch) == {"a": "only"}


async def test_a_server_that_ends_while_a_batch_is_created_leaves_it_to_others(tmp_path: Path) -> None:
    server = Server("only", MemoryStores("memory:"), tmp_path)
    server.start()
    for _ in range(9):  # the one thread answers in order: by then the server waits for batches
        await server.batches.get("ours", "batch_x")
    await create(server, "a")
    closing = asyncio.create_task(server.batches.aclose())
    for _ in range(99):
        await asyncio.sleep(0)
    assert closing.done()
    await server.files.aclose()


async def create_again(server: Server, done: Batch) -> str:
    """A batch of the same input of which two lines are done, and of a third a half."""
    folder = server.files.folder
    lines = folder.path_of(done.output_file_id).read_bytes().splitlines(keepends=True)
    by_id = {json.loads(line)["custom_id"]: line for line in lines}
    content = folder.create("file-work")
    content.append(by_id["a"] + by_id["b"] + by_id["c"][:40])
    content.close()
    batch = Batch(
        id=new_batch_id(2),
        project="ours",
        key_id="key_1",
        endpoint=PATH,
        input_file_id="file-in",
        created_at=1,
        expires_at=100_000,
        status="in_progress",
        in_progress_at=1,
        num_lines=4,
        model="m",
        output_work="file-work",
        error_work="file-none",
    )
    await server.batches.aclose()
    await server.batches.create(batch)
    return batch.id


async def test_a_server_without_the_input_leaves_the_batch_to_others(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as (first, second):
        batch_id = await create(first, "a")
        second.files.folder = type(second.files.folder)(tmp_path / "elsewhere")
        second.start()
        while True:
            row = await second.batches.get("ours", batch_id)
            assert row is not None
            if row.epoch == 1 and row.lease_until == second.now + 60:
                break
        first.now += 61
        first.gate.set()
        first.start()
        batch = await first.ended(batch_id)
    assert batch.status == "completed"


async def test_many_batches_of_one_project_leave_room_for_others(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as (server, _):
        for number in range(20):
            await create(server, "a", file_id=f"file-{number}")
        theirs = await create(server, "a", project="theirs", file_id="file-theirs")
        server.start()
        while True:  # nothing is answered: each batch that runs keeps its place
            batch = await server.batches.get("theirs", theirs)
            if batch is not None and batch.in_progress_at is not None:
                break
        page = await server.batches.page("ours", after=None, limit=50)
        assert page is not None and sum(row.epoch for row in page.rows) == 4
