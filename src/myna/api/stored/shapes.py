"""Stored completions as JSON: one, a page, and the messages of one. Called in threads, since some are
large."""

from typing import Final

import orjson

from myna.core.stored import StoredCompletion, StoredItem, StoredPage

_NO_METADATA: Final = b'"metadata":null'


def item_json(row: StoredCompletion | StoredItem) -> bytes:
    """The completion with its metadata, which replaces the null in the row's item."""
    if row.item.count(_NO_METADATA) == 1:  # no text can contain it: its quotes would be escaped
        return row.item.replace(_NO_METADATA, b'"metadata":' + orjson.dumps(dict(row.metadata)))
    item: dict[str, object] = orjson.loads(row.item)
    item["metadata"] = dict(row.metadata)  # keeps its position: a dict preserves the order of keys
    return orjson.dumps(item)


def page_json(page: StoredPage) -> bytes:
    """The page as `paging.listed` returns it, but mostly without parsing the items."""
    first, last = (page.rows[0].id, page.rows[-1].id) if page.rows else (None, None)
    return b'{"object":"list","data":[%s],"first_id":%s,"last_id":%s,"has_more":%s}' % (
        b",".join(map(item_json, page.rows)),
        orjson.dumps(first),
        orjson.dumps(last),
        orjson.dumps(page.has_more),
    )


def messages_of(row: StoredCompletion) -> list[dict[str, object]]:
    """The messages of the request; each id is the completion's id and the message's index."""
    return [
        {"id": f"{row.id}-{number}", **message} for number, message in enumerate(orjson.loads(row.messages))
    ]
