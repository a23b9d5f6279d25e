"""One contract, every store: responses come back to their owner alone, and a chain is read in one query."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event
from tests.stores.response_rows import conversation, items, names, response

from myna.core import stored_responses
from myna.core.stored import MAX_DELETED_ROWS
from myna.core.stored_responses import ConversationStore, ResponseItem, ResponseStatus, ResponseStore
from myna.stores import response_items, responses_memory
from myna.stores.registry import Stores, open_stores
from myna.stores.responses_sql import SqlResponses


@pytest.fixture
def stores(url: str) -> Iterator[Stores]:
    opened = open_stores(url)
    yield opened
    opened.responses().close()


@pytest.fixture
def store(stores: Stores) -> ResponseStore:
    return stores.responses()


@pytest.fixture
def conversations(stores: Stores) -> ConversationStore:
    return stores.conversations()


def _history(store: ResponseStore, name: str, *, with_output: bool = True) -> str | None:
    found = store.history("ours", f"resp_{name}", with_output=with_output)
    return None if found is None else names(found.items)


def test_what_goes_in_comes_out(store: ResponseStore) -> None:
    store.put(response("a", output=items("1", "2"), previous_id="resp_gone"))
    expected = response("a", input=(), output=items("1", "2"), previous_id="resp_gone")
    assert store.get("ours", "resp_a") == expected


def test_storing_twice_is_storing_once(store: ResponseStore) -> None:
    store.put(response("a"))
    store.put(response("a", status="incomplete"))
    found = store.get("ours", "resp_a")
    assert found is not None and found.status == "incomplete"
    assert _history(store, "a") == "ai ao"


def test_a_response_keeps_its_history_though_the_previous_one_was_deleted_meanwhile(
    store: ResponseStore,
) -> None:
    store.put(response("a"))
    store.put(response("b", "a"))
    before = store.history("ours", "resp_b")
    assert before is not None
    assert store.delete("ours", "resp_b")
    statuses: tuple[ResponseStatus, ...] = ("completed", "queued")
    for name, status in zip("cd", statuses, strict=True):
        store.put(response(name, "b", history=before.items, status=status))
        assert _history(store, name) == f"ai ao bi bo {name}i {name}o"
    assert store.delete("ours", "resp_a")
    store.put(response("e", "c", history=items("elsewhere")))
    assert _history(store, "e") == "ai ao bi bo ci co ei eo", "the previous one is there"
    assert store.delete("ours", "resp_c")
    assert _history(store, "e") == "ai ao bi bo ci co ei eo"


def test_another_project_sees_nothing_and_changes_nothing(store: ResponseStore) -> None:
    store.put(response("a"))
    assert store.get("theirs", "resp_a") is None
    assert store.history("theirs", "resp_a") is None
    assert store.items("theirs", ["msg_ai"]) == {}
    assert not store.delete("theirs", "resp_a")
    store.put(response("b", "a", project="theirs"))
    assert store.history("theirs", "resp_b") is None
    assert _history(store, "a") == "ai ao"


def test_an_id_with_a_nul_is_an_unknown_one(store: ResponseStore, conversations: ConversationStore) -> None:
    store.put(response("a"))
    assert store.get("ours", "resp_a\0") is None
    assert store.history("ours", "\0") is None
    assert store.items("ours", ["msg_ai\0"]) == {}
    assert not store.delete("ours", "resp_a\0")
    assert not conversations.lock("ours", "\0", "me", "here")
    assert conversations.page("ours", "\0", after="\0") is None


def test_items_are_limited_in_size_and_the_newest_of_an_id_counts(store: ResponseStore) -> None:
    store.put(response("a", output=(), input=[ResponseItem("msg_1", b"0123456789"), *items("2")]))
    store.put(response("b", output=(), input=[ResponseItem("msg_1", b"01234")]))
    assert store.items("ours", ["msg_1"], max_bytes=5) == {"msg_1": ResponseItem("msg_1", b"01234")}
    assert store.items("ours", ["msg_1"] * 2, max_bytes=9) is None
    assert store.items("ours", ["msg_1"] * 2, max_bytes=10) is not None
    assert store.items("ours", ["msg_1", "msg_2"], max_bytes=5) is None


def test_a_chain_is_read_from_its_beginning_and_may_branch(store: ResponseStore) -> None:
    for name, previous in (("a", None), ("b", "a"), ("c", "b"), ("x", "a"), ("y", "x")):
        store.put(response(name, previous))
    assert _history(store, "c") == "ai ao bi bo ci co"
    assert _history(store, "y") == "ai ao xi xo yi yo"
    assert _history(store, "y", with_output=False) == "ai ao xi xo yi"
    assert _history(store, "a", with_output=False) == "ai"
    assert _history(store, "nobody") is None


def test_a_response_without_items_has_an_empty_history(store: ResponseStore) -> None:
    store.put(response("a", input=(), output=(), status="failed"))
    history = store.history("ours", "resp_a")
    assert history is not None and (history.items, history.status, history.is_complete) == (
        [],
        "failed",
        True,
    )
    store.put(response("b", "a"))
    assert _history(store, "b") == "bi bo"


@contextmanager
def _counted_queries(store: ResponseStore) -> Iterator[list[str]]:
    assert isinstance(store, SqlResponses)
    engine, seen = store._database.engine, list[str]()

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_a_chain_of_fifty_is_one_query(store: ResponseStore) -> None:
    for number in range(50):
        store.put(response(str(number), str(number - 1) if number else None))
    with _counted_queries(store) as queries:
        found = _history(store, "49")
    assert found == " ".join(f"{number}i {number}o" for number in range(50))
    assert len(queries) == 1


def test_deleted_is_gone_and_what_continues_it_keeps_its_history(store: ResponseStore) -> None:
    for name, previous in (("a", None), ("b", "a"), ("c", "b"), ("x", "a")):
        store.put(response(name, previous))
    assert store.delete("ours", "resp_a") and store.delete("ours", "resp_b")
    assert not store.delete("ours", "resp_a")
    assert store.get("ours", "resp_a") is None and _history(store, "b") is None
    found = store.items("ours", ["msg_ao", "msg_co"])
    assert found is not None and found.keys() == {"msg_co"}
    assert (_history(store, "c"), _history(store, "x")) == ("ai ao bi bo ci co", "ai ao xi xo")
    before = store.usage("ours").num_rows
    assert store.delete("ours", "resp_c")
    assert store.usage("ours").num_rows == before - 2
    assert _history(store, "x") == "ai ao xi xo"
    assert store.delete("ours", "resp_x")
    assert store.usage("ours").num_rows == 0 and store.usage("ours").num_bytes == 0


def test_a_chain_whose_beginning_is_missing_is_not_continued_without_it(store: ResponseStore) -> None:
    store.put(response("b", "gone"))
    assert _history(store, "b") is None
    assert store.get("ours", "resp_b") is not None


def test_references_find_items_of_responses_and_the_newest_of_equal_ids(store: ResponseStore) -> None:
    store.put(response("a"))
    newer = msgspec.structs.replace(items("ai")[0], json=b'{"id":"msg_ai","text":"new"}')
    store.put(response("b", input=[newer]))
    assert store.items("ours", ["msg_ai", "msg_bo", "msg_none"]) == {
        "msg_ai": newer,
        "msg_bo": items("bo")[0],
    }
    assert store.items("ours", []) == {}


def test_only_the_newest_items_of_a_huge_history_are_loaded(
    store: ResponseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(response("a"))
    store.put(response("b", "a"))
    size = len(items("ai")[0].json)
    assert stored_responses.MAX_HISTORY_BYTES == 32 << 20
    for module in (response_items, responses_memory):
        monkeypatch.setattr(module, "MAX_HISTORY_BYTES", 3 * size)
    history = store.history("ours", "resp_b")
    assert history is not None
    assert (names(history.items), history.is_complete) == ("ao bi bo", False)
    assert _history(store, "a") == "ai ao"


def test_usage_counts_responses_conversations_and_items(
    store: ResponseStore, conversations: ConversationStore
) -> None:
    store.put(response("a"))
    one = store.usage("ours")
    assert one.num_rows == 1 and one.num_bytes > len(response("a").body)
    conversations.create(conversation("c"), items("1"))
    assert store.usage("ours").num_rows == 2
    assert store.usage("ours").num_bytes > one.num_bytes
    assert store.usage("theirs").num_rows == 0


def test_old_chains_go_and_those_that_were_continued_recently_stay(store: ResponseStore) -> None:
    store.put(response("a", created=1))
    store.put(response("b", "a", created=2))
    store.put(response("c", "b", created=30))
    store.put(response("x", "a", created=3))
    store.put(response("y", created=5))
    assert store.delete_older(20) == 2
    assert store.delete_older(20) == 0
    assert store.get("ours", "resp_x") is None and store.get("ours", "resp_y") is None
    assert _history(store, "c") == "ai ao bi bo ci co"
    assert store.delete_older(31) == 3
    assert store.usage("ours").num_rows == 0


def test_old_rows_are_deleted_in_pieces(store: ResponseStore) -> None:
    for number in range(MAX_DELETED_ROWS + 5):
        store.put(response(str(number), str(number - 1) if number else None, created=1))
    assert [store.delete_older(2) for _ in range(3)] == [MAX_DELETED_ROWS, 5, 0]


def test_a_conversations_items_are_the_context_of_its_responses_and_of_what_continues_them(
    store: ResponseStore, conversations: ConversationStore
) -> None:
    conversations.create(conversation("c"), items("1"))
    store.put(response("a", conversation="c"))
    store.put(response("b", conversation="c"))
    history = conversations.history("ours", "conv_c")
    assert history is not None and names(history.items) == "1 ai ao bi bo"
    assert _history(store, "a") == "1 ai ao"
    assert _history(store, "b", with_output=False) == "1 ai ao bi"
    store.put(response("d", "b"))
    assert _history(store, "d") == "1 ai ao bi bo di do"
    assert conversations.delete("ours", "conv_c")
    assert _history(store, "d") == "1 ai ao bi bo di do"


def test_what_a_conversation_holds_outlives_the_response_and_the_response_the_conversation(
    store: ResponseStore, conversations: ConversationStore
) -> None:
    conversations.create(conversation("c"))
    store.put(response("a", conversation="c"))
    store.put(response("b", conversation="c"))
    assert store.delete("ours", "resp_a")
    assert conversations.delete_item("ours", "conv_c", "msg_bo")
    history = conversations.history("ours", "conv_c")
    assert history is not None and names(history.items) == "ai ao bi"
    found = store.get("ours", "resp_b")
    assert found is not None and names(found.output) == "bo"


@pytest.mark.parametrize("status", ["failed", "cancelled", "in_progress"])
def test_a_response_that_did_not_end_well_adds_nothing_to_its_conversation(
    store: ResponseStore, conversations: ConversationStore, status: stored_responses.ResponseStatus
) -> None:
    conversations.create(conversation("c"))
    store.put(response("a", conversation="c", status=status))
    history = conversations.history("ours", "conv_c")
    assert history is not None and names(history.items) == ""


def test_unused_conversations_are_deleted_when_they_are_old(
    store: ResponseStore, conversations: ConversationStore
) -> None:
    for name in ("old", "used", "kept", "hidden"):
        conversations.create(conversation(name, created=5), items(name))
    conversations.add("ours", "conv_used", items("more"), now=50)
    store.put(response("a", conversation="kept", created=50))
    conversations.delete("ours", "conv_hidden")
    while store.delete_older(20):
        pass
    alive = [name for name in ("old", "used", "kept") if conversations.get("ours", f"conv_{name}")]
    assert alive == ["used", "kept"]
    kept = store.items("ours", ["msg_old", "msg_hidden", "msg_used"])
    assert kept is not None and kept.keys() == {"msg_used"}


def test_many_items_of_an_old_conversation_are_deleted_in_pieces(tmp_path: Path) -> None:
    opened = open_stores(f"sqlite:///{tmp_path}/myna.db")
    many = [str(number) for number in range(MAX_DELETED_ROWS + 1)]
    opened.conversations().create(conversation("c", created=1), items(*many))
    store = opened.responses()
    assert [store.delete_older(2) for _ in range(3)] == [MAX_DELETED_ROWS, 2, 0]
    assert store.usage("ours").num_rows == 0
    store.close()
