"""A server that streams for ever, as far as usage is concerned: it prints each token's number.

Run with the URL of a database and a folder for its journal; the test kills it."""

import asyncio
import sys
from pathlib import Path

from tests.stores.rows import usage_row

from myna.core.ledger import UsageRow
from myna.stores.journal import Journal
from myna.stores.registry import open_stores
from myna.usage.write_ahead import COVER_AHEAD, WriteAhead


def priced(row: UsageRow) -> UsageRow:
    return row


async def main(url: str, folder: str, lease_s: str) -> None:
    store = open_stores(url).open_usage()
    assert store is not None
    ahead = WriteAhead(store, priced, float(lease_s))
    ahead.start()
    row = usage_row(1, is_stream=True, prompt_tokens=0, completion_tokens=0)
    entry = ahead.open(Journal(Path(folder), url).take(row), row)
    entry.count_prompt(12, 3)
    tokens = 0
    while True:
        tokens += 1
        if tokens + COVER_AHEAD > entry.covered:
            await entry.cover(tokens)
        print(tokens, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
