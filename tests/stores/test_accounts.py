"""One contract, every store: records, actions, and the version that changes with each."""

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from myna.core.accounts import (
    ALL_MODELS,
    EVERYONE,
    Accounts,
    AccountStore,
    ApiKey,
    AuditEvent,
    AuditQuery,
    Limit,
    Project,
)
from myna.stores.registry import open_stores


@pytest.fixture
def store(url: str) -> Iterator[AccountStore]:
    opened = open_stores(url).accounts()
    yield opened
    opened.close()


def _event(number: int, **fields: Any) -> AuditEvent:
    event = AuditEvent(
        f"audit_log-{number}", "api_key.created", 1_700_000_000 + number, "api_key", "key_me", "127.0.0.1",
        "default", f"key_{number}", b'{"name":"\xe5\x96\x82"}',
    )  # fmt: skip
    return msgspec.structs.replace(event, **fields)


def _key(number: int, **fields: Any) -> ApiKey:
    key = ApiKey(
        f"key_{number}", "default", f"Ana's «laptop» {number} 喂", 1_700_000_000 + number, f"{number:064x}",
        "sk-myna-abc...wxyz", ("inference", "read"),
    )  # fmt: skip
    return msgspec.structs.replace(key, **fields)


def _put(store: AccountStore, *records: Project | ApiKey | Limit) -> Accounts:
    for record in records:
        number = store.version()
        assert store.put(record, _event(number), version=number)
    return store.load()


def test_a_new_store_has_the_default_project_alone(store: AccountStore) -> None:
    accounts = store.load()
    assert [project.id for project in accounts.projects] == ["default"]
    assert (accounts.version, accounts.fingerprint, accounts.keys, accounts.limits) == (0, "", [], [])
    assert store.version() == 0


def test_what_goes_in_comes_out(store: AccountStore) -> None:
    project = Project("proj_1", "Küche", 1_700_000_000)
    whole = _key(2, project="proj_1", models=("tiny", "org/mo del"), expires_at=5, old_digest="f" * 64)
    whole = msgspec.structs.replace(whole, old_expires_at=6, revoked_at=7, unknown_parameters="ignore")
    every = Limit(EVERYONE, ALL_MODELS, 1, 2, 3, 4, 5)
    none = Limit("key_1", "tiny", tokens_per_day=2**53)
    accounts = _put(store, project, _key(1), whole, none, every)
    assert accounts.version == 5
    assert project in accounts.projects
    assert accounts.keys == [_key(1), whole]
    assert accounts.limits == [every, none]


def test_a_record_is_replaced_whole_and_keeps_its_last_use(store: AccountStore) -> None:
    _put(store, _key(1, expires_at=9))
    store.touch({"key_1": 50, "key_unknown": 60})
    store.touch({"key_1": 40})
    accounts = _put(store, _key(1, name="renamed"))
    assert accounts.keys == [_key(1, name="renamed", last_used_at=50)]
    assert accounts.version == 2, "a use is not a change"


def test_a_change_that_was_decided_on_old_news_has_no_effect(store: AccountStore) -> None:
    _put(store, _key(1))
    assert not store.put(_key(1, revoked_at=1), _event(90), version=0)
    assert not store.remove_limit("key_1", ALL_MODELS, _event(91), version=0)
    assert store.load().keys == [_key(1)]
    page = store.events(AuditQuery())
    assert page is not None
    assert [event.id for event in page.events] == ["audit_log-0"]


def test_of_many_changes_at_once_each_that_is_confirmed_has_happened(store: AccountStore) -> None:
    def change(number: int) -> None:
        while not store.put(_key(number), _event(number), version=store.version()):
            pass

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.id for key in store.load().keys} == {f"key_{number}" for number in range(8)}
    assert store.version() == 8


def test_a_limit_goes(store: AccountStore) -> None:
    _put(store, Limit("key_1", "tiny", 1), Limit("key_1", ALL_MODELS, 2))
    assert store.remove_limit("key_1", "tiny", _event(9), version=2)
    assert store.load().limits == [Limit("key_1", ALL_MODELS, 2)]
    assert store.version() == 3


def test_the_first_fingerprint_is_kept(store: AccountStore) -> None:
    assert store.claim("mine") == "mine"
    assert store.claim("theirs") == "mine"
    assert store.load().fingerprint == "mine"


def _ids(store: AccountStore, **query: Any) -> list[int]:
    page = store.events(AuditQuery(**query))
    assert page is not None
    return [int(event.id.rpartition("-")[2]) for event in page.events]


def test_acts_are_listed_newest_first_page_by_page_both_ways(store: AccountStore) -> None:
    for number in range(7):
        store.note(_event(number))
    assert _ids(store) == [6, 5, 4, 3, 2, 1, 0]
    assert _ids(store, limit=3) == [6, 5, 4]
    assert _ids(store, limit=3, after="audit_log-4") == [3, 2, 1]
    assert _ids(store, limit=3, before="audit_log-2") == [5, 4, 3]
    assert _ids(store, after="audit_log-5", before="audit_log-1") == [4, 3, 2]
    page = store.events(AuditQuery(limit=7))
    assert page is not None and not page.has_more
    assert page.events[0] == _event(6)
    page = store.events(AuditQuery(limit=6))
    assert page is not None and page.has_more
    assert store.events(AuditQuery(after="audit_log-99")) is None
    assert store.events(AuditQuery(before="'; --")) is None


def test_filters_of_acts_hold_together(store: AccountStore) -> None:
    store.note(_event(1, type="project.created", project="proj_1"))
    store.note(_event(2, actor="ana", actor_type="session"))
    store.note(_event(3, project="proj_1"))
    assert _ids(store, types=("project.created",)) == [1]
    assert _ids(store, types=("project.created", "api_key.created")) == [3, 2, 1]
    assert _ids(store, projects=("proj_1",), types=("api_key.created",)) == [3]
    assert _ids(store, actors=("ana",)) == [2]
    assert _ids(store, subjects=("key_1", "key_3")) == [3, 1]
    assert _ids(store, since=1_700_000_002, until=1_700_000_002) == [2]
    assert _ids(store, projects=("nowhere",)) == []
    assert store.version() == 0


def test_two_servers_on_one_database_see_each_others_changes(url: str) -> None:
    if url == "memory:":
        return  # is one server's alone
    first, second = open_stores(url).accounts(), open_stores(url).accounts()
    _put(first, _key(1))
    assert second.version() == 1
    assert second.load() == first.load()
    first.close()
    second.close()
