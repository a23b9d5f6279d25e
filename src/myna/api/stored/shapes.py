"""Stored completions as JSON: one, a page of bounded size, and the messages of one. Called in threads."""

from collections.abc import Mapping
from typing import Final

import orjson

from myna.core.stored import CompletionStore, Order, StoredCompletion

PAGE_BYTES: Final = 16 * 2**20
"""Of the items of a page, which ends before its limit where the next item is beyond; one item always fits."""

# Rows that are read before it is known how large they are.
_FIRST_ROWS: Final = 4
_NO_METADATA: Final = b'"metadata":null'


def item_json(row: StoredCompletion) -> bytes:
    """The completion with its metadata, which takes the place of the null in the row's item."""
    if row.item.count(_NO_METADATA) == 1:  # no text can hold it: its quotes would be escaped
        return row.item.replace(_NO_METADATA, b'"metadata":' + orjson.dumps(dict(row.metadata)))
    item: dict[str, object] = orjson.loads(row.item)
    item["metadata"] = dict(row.metadata)  # in its old place: a dict keeps the order of its keys
    return orjson.dumps(item)


def page_json(
    store: CompletionStore,
    project: str,
    *,
    after: str | None,
    limit: int,
    order: Order,
    model: str | None,
    metadata: Mapping[str, str],
) -> bytes | None:
    """A page's envelope. None if `after` is no row of the project. Rows are read a few at a time, by their
    size, so that memory holds little more than the page."""
    ids, items, size, has_more = list[str](), list[bytes](), 0, True
    while has_more and len(items) < limit:
        largest = max(map(len, items), default=0)
        count = min(limit - len(items), (PAGE_BYTES - size) // largest if largest else _FIRST_ROWS)
        last = ids[-1] if ids else after
        page = store.page(
            project, after=last, limit=max(1, count), order=order, model=model, metadata=metadata
        )
        if page is None:
            return None
        has_more = page.has_more
        for row in page.rows:
            item = item_json(row)
            size += len(item)
            if items and size > PAGE_BYTES:
                return _envelope(ids, items, has_more=True)
            ids.append(row.id)
            items.append(item)
    return _envelope(ids, items, has_more=has_more)


def _envelope(ids: list[str], items: list[bytes], *, has_more: bool) -> bytes:
    first, last = (ids[0], ids[-1]) if ids else (None, None)
    return b'{"object":"list","data":[%s],"first_id":%s,"last_id":%s,"has_more":%s}' % (
        b",".join(items),
        orjson.dumps(first),
        orjson.dumps(last),
        orjson.dumps(has_more),
    )


def messages_of(row: StoredCompletion) -> list[dict[str, object]]:
    """The messages that were sent, each with the completion's id and its number as an id."""
    return [
        {"id": f"{row.id}-{number}", **message} for number, message in enumerate(orjson.loads(row.messages))
    ]
