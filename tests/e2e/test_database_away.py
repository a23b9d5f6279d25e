"""A server whose database can't be written goes on answering, and catches up."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from httpx import AsyncClient
from tests.e2e.server import KEY, MODEL, serving

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}


async def test_while_another_program_locks_the_file_all_answers_come_and_their_copies_afterwards(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, "--engine", "fake") as server:
        path = f"{server.base_url}/chat/completions"
        async with AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=120) as client:
            with closing(sqlite3.connect(tmp_path / "myna.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                # More than there are threads for the database.
                storing = [client.post(path, json={**CHAT, "store": True}) for _ in range(8)]
                answers = await asyncio.gather(*storing, client.post(path, json=CHAT))
                assert [answer.status_code for answer in answers] == [200] * 9
                assert (await client.get(path)).json()["data"] == [], "reading goes on"
                other.execute("ROLLBACK")
            for _ in range(10_000):
                kept = (await client.get(path)).json()["data"]
                if len(kept) == 8:
                    break
            assert {item["id"] for item in kept} == {answer.json()["id"] for answer in answers[:8]}
        assert server.stop() == 0
    lines = [line for line in server.log if " ERROR " in line]
    assert len([line for line in lines if "the database can't be used" in line]) <= 1
    assert not [line for line in server.log if "Traceback" in line]
