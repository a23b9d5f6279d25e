"""One contract, every store: a conversation's items come back in order, page by page, to its owner alone."""

from collections.abc import Iterator
from itertools import count
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.response_rows import conversation, items, names, response

from myna.core.stored import Order
from myna.core.stored_responses import ConversationStore
from myna.stores.registry import Stores, open_stores

_NUMBERS: Final = count()


@pytest.fixture
def stores(url: str) -> Iterator[Stores]:
    opened = open_stores(url)
    yield opened
    opened.conversations().close()


@pytest.fixture
def store(stores: Stores) -> ConversationStore:
    return stores.conversations()


def _page(store: ConversationStore, **query: object) -> str | None:
    page = store.page("ours", "conv_c", **query)  # type: ignore[arg-type]
    return None if page is None else names(page.items)


def test_what_goes_in_comes_out(store: ConversationStore) -> None:
    store.create(conversation("c", metadata={"city": "北京", "mood": ""}), items("1", "2"))
    assert store.get("ours", "conv_c") == conversation("c", metadata={"city": "北京", "mood": ""})
    assert store.item("ours", "conv_c", "msg_2") == items("2")[0]
    assert store.item("ours", "conv_c", "msg_3") is None


def test_metadata_is_replaced_not_merged(store: ConversationStore) -> None:
    store.create(conversation("c", metadata={"old": "1"}))
    assert store.set_metadata("ours", "conv_c", {"new": "2"})
    assert store.get("ours", "conv_c") == conversation("c", metadata={"new": "2"})
    assert not store.set_metadata("ours", "conv_x", {})


def test_another_project_sees_nothing_and_changes_nothing(store: ConversationStore) -> None:
    store.create(conversation("c"), items("1"))
    assert store.get("theirs", "conv_c") is None
    assert store.page("theirs", "conv_c") is None
    assert store.item("theirs", "conv_c", "msg_1") is None
    assert store.history("theirs", "conv_c") is None
    assert not store.add("theirs", "conv_c", items("2"), now=1)
    assert not store.delete_item("theirs", "conv_c", "msg_1")
    assert not store.set_metadata("theirs", "conv_c", {})
    assert not store.lock("theirs", "conv_c", "req_1", "here")
    assert not store.delete("theirs", "conv_c")
    assert _page(store) == "1"


def test_items_are_added_once_and_in_order(store: ConversationStore) -> None:
    store.create(conversation("c"), items("1", "1", "2"))
    assert store.add("ours", "conv_c", items("2", "3", "1", "4"), now=1)
    assert store.add("ours", "conv_c", items("1"), now=1)
    assert store.add("ours", "conv_c", [], now=1)
    assert _page(store, order="asc") == "1 2 3 4"
    assert not store.add("ours", "conv_x", items("1"), now=1)


def test_two_conversations_may_hold_items_with_the_same_id(store: ConversationStore) -> None:
    store.create(conversation("c"), items("1"))
    store.create(conversation("d"), items("1"))
    assert store.delete_item("ours", "conv_c", "msg_1")
    assert store.item("ours", "conv_d", "msg_1") is not None
    assert (_page(store), store.delete_item("ours", "conv_c", "msg_1")) == ("", False)


def test_a_deleted_conversation_is_gone_but_not_its_items(stores: Stores, store: ConversationStore) -> None:
    store.create(conversation("c"), items("1"))
    assert store.delete("ours", "conv_c") and not store.delete("ours", "conv_c")
    assert store.get("ours", "conv_c") is None and _page(store) is None
    assert store.item("ours", "conv_c", "msg_1") is None and store.history("ours", "conv_c") is None
    assert not store.add("ours", "conv_c", items("2"), now=1)
    assert not store.delete_item("ours", "conv_c", "msg_1")
    kept = stores.responses().items("ours", ["msg_1"])
    assert kept is not None and kept.keys() == {"msg_1"}


def test_a_page_ends_before_it_is_too_large_and_has_one_item_at_least(store: ConversationStore) -> None:
    store.create(conversation("c"), items("1", "2", "3"))
    size = len(items("1")[0].json)
    assert [_page(store, max_bytes=most) for most in (0, 2 * size, 3 * size)] == ["3", "3 2", "3 2 1"]
    assert (_page(store, after="msg_9"), _page(store, after="msg_1")) == (None, "")


@given(
    num_items=st.integers(0, 12),
    limit=st.integers(1, 5),
    order=st.sampled_from(["asc", "desc"]),
    removed=st.sets(st.integers(0, 11), max_size=3),
)
def test_pages_follow_each_other_without_gap_or_repeat(
    store: ConversationStore, num_items: int, limit: int, order: Order, removed: set[int]
) -> None:
    """Whatever is removed between two pages."""
    conversation_id = f"conv_{next(_NUMBERS)}"
    everything = items(*(f"{number}" for number in range(num_items)))
    store.create(conversation("c", id=conversation_id), everything)
    seen, after = list[int](), None
    while True:
        page = store.page("ours", conversation_id, after=after, limit=limit, order=order)
        assert page is not None and len(page.items) <= limit
        seen += [int(item.id.removeprefix("msg_")) for item in page.items]
        if not page.has_more:
            break
        after = f"msg_{seen[-1]}"
        for number in removed - {seen[-1]}:
            store.delete_item("ours", conversation_id, f"msg_{number}")
    assert sorted(seen, reverse=order == "desc") == seen
    assert set(range(num_items)) - removed <= set(seen)


def test_one_request_at_a_time_uses_a_conversation_while_its_server_lives(
    stores: Stores, store: ConversationStore
) -> None:
    store.create(conversation("c"))
    servers = stores.background()
    servers.heartbeat("here", 3600)
    servers.heartbeat("there", 3600)
    assert store.lock("ours", "conv_c", "req_1", "here")
    assert not store.lock("ours", "conv_c", "req_2", "there")
    store.unlock("conv_c", "req_2")
    assert not store.lock("ours", "conv_c", "req_2", "there")
    store.unlock("conv_c", "req_1")
    assert store.lock("ours", "conv_c", "resp_a", "there")
    stores.responses().put(response("a", conversation="c"))
    assert store.lock("ours", "conv_c", "resp_b", "there")
    stores.responses().put(response("b", conversation="c", status="failed"))
    assert store.lock("ours", "conv_c", "req_2", "there")
    servers.heartbeat("there", -1)
    assert store.lock("ours", "conv_c", "req_3", "here")
    assert not store.lock("ours", "conv_none", "req_3", "here")
