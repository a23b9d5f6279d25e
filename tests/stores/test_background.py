"""One contract, every store: a background response ends once, or is found when its server has died."""

from collections.abc import Iterator

import pytest
from tests.stores.response_rows import names, response

from myna.core.stored_responses import MAX_BATCHES, BackgroundStore, EventBatch, ResponseStore
from myna.stores.registry import Stores, open_stores


@pytest.fixture
def stores(url: str) -> Iterator[Stores]:
    opened = open_stores(url)
    yield opened
    opened.background().close()


@pytest.fixture
def responses(stores: Stores) -> ResponseStore:
    return stores.responses()


@pytest.fixture
def store(stores: Stores) -> BackgroundStore:
    return stores.background()


def test_an_active_response_ends_once(store: BackgroundStore, responses: ResponseStore) -> None:
    responses.put(response("a", status="queued", output=(), runner="here"))
    assert store.heartbeat("here", 60) == {"resp_a"}
    assert store.finish(response("a"))
    assert not store.finish(response("a", status="cancelled"))
    assert store.heartbeat("here", 60) == frozenset()
    found = responses.get("ours", "resp_a")
    assert found is not None and (found.status, names(found.output), found.runner) == ("completed", "ao", "")
    history = responses.history("ours", "resp_a")
    assert history is not None and names(history.items) == "ai ao"


def test_progress_is_not_the_end(store: BackgroundStore, responses: ResponseStore) -> None:
    responses.put(response("a", status="queued", runner="here"))
    assert store.progress("resp_a", b"{}")
    found = responses.get("ours", "resp_a")
    assert found is not None and (found.status, found.body, found.runner) == ("in_progress", b"{}", "here")
    assert store.finish(response("a", status="cancelled"))
    assert not store.progress("resp_a", b"{}")


def test_a_deleted_response_does_not_come_back(store: BackgroundStore, responses: ResponseStore) -> None:
    responses.put(response("a", status="in_progress", runner="here"))
    assert responses.delete("ours", "resp_a")
    assert store.heartbeat("here", 60) == frozenset()
    assert not store.finish(response("a"))
    assert responses.get("ours", "resp_a") is None


def test_a_server_is_alive_while_its_lease_lasts(store: BackgroundStore) -> None:
    store.heartbeat("dead", -1)
    store.heartbeat("alive", 60)
    assert [store.is_alive(runner) for runner in ("dead", "alive", "never")] == [False, True, False]
    store.heartbeat("alive", -1)
    assert not store.is_alive("alive")


def test_events_are_read_from_any_number_on(store: BackgroundStore, responses: ResponseStore) -> None:
    responses.put(response("a", status="in_progress", runner="here"))
    batches = [
        EventBatch(0, [b"event: a\ndata: {}", b"event: b\ndata: {}"]),
        EventBatch(2, [b"event: c\ndata: {}"]),
        EventBatch(3, [b"event: d\ndata: {}"]),
    ]
    for batch in batches:
        store.add_events("resp_a", batch)
    for after, expected in ((-1, batches), (0, batches), (1, batches[1:]), (2, batches[2:]), (3, [])):
        assert list(store.events("resp_a", after)) == expected
    assert store.events("resp_b", -1) == []


def test_a_deleted_response_has_no_events(store: BackgroundStore, responses: ResponseStore) -> None:
    responses.put(response("a"))
    responses.put(response("b", "a"))
    for name in ("a", "b"):
        store.add_events(f"resp_{name}", EventBatch(1, [b"{}"]))
        assert responses.delete("ours", f"resp_{name}")
        store.add_events(f"resp_{name}", EventBatch(0, [b"{}"]))
        assert store.events(f"resp_{name}", -1) == []


def test_a_long_stream_is_read_in_parts(store: BackgroundStore, responses: ResponseStore) -> None:
    responses.put(response("a", status="in_progress", runner="here"))
    batches = [EventBatch(number, [b"{}"]) for number in range(MAX_BATCHES + 3)]
    for batch in batches:
        store.add_events("resp_a", batch)
    assert list(store.events("resp_a", -1)) == batches[:MAX_BATCHES]
    assert batches[-1] in store.events("resp_a", MAX_BATCHES - 1)


def test_events_are_deleted_some_time_after_the_end(store: BackgroundStore, responses: ResponseStore) -> None:
    for name in ("a", "b", "c"):
        responses.put(response(name, status="in_progress", runner="here"))
        store.add_events(f"resp_{name}", EventBatch(0, [b"{}"]))
    assert store.finish(response("a"))
    assert responses.delete("ours", "resp_b")
    store.delete_events(0)
    assert [len(store.events(f"resp_{name}", -1)) for name in ("a", "b", "c")] == [1, 0, 1]
    store.delete_events(2**40)
    assert [len(store.events(f"resp_{name}", -1)) for name in ("a", "b", "c")] == [0, 0, 1]


def test_a_failed_server_leaves_the_input(store: BackgroundStore, responses: ResponseStore) -> None:
    responses.put(response("a", status="in_progress", output=(), runner="dead"))
    assert store.finish(response("a", status="failed", input=(), output=()))
    history = responses.history("ours", "resp_a")
    assert history is not None and (names(history.items), history.status) == ("ai", "failed")
