"""Batches in every store: pages, owners, claims that only one server holds, and an end that happens once."""

from collections.abc import Iterator

import pytest

from myna.core.batches import Batch, BatchStatus, BatchStore
from myna.core.files import StoredFile
from myna.stores.registry import Stores, open_stores


@pytest.fixture
def stores(url: str) -> Iterator[Stores]:
    opened = open_stores(url)
    yield opened
    opened.batches().close()


@pytest.fixture
def store(stores: Stores) -> BatchStore:
    return stores.batches()


def _batch(number: int, project: str = "ours", status: BatchStatus = "validating") -> Batch:
    return Batch(
        f"batch_{number}",
        project,
        "key_1",
        "/v1/completions",
        "file-1",
        1_700_000_000,
        1_700_086_400,
        metadata='{"城": "北京"}'.encode(),
        status=status,
    )


def _claimed(store: BatchStore, now: float = 100.0) -> Batch:
    batch = store.claim(now, now + 15)
    assert batch is not None
    return batch


def test_what_goes_in_comes_out_to_its_project_alone(store: BatchStore) -> None:
    store.add(_batch(1))
    assert store.get("ours", "batch_1") == _batch(1)
    assert store.get("theirs", "batch_1") is None
    assert store.cancel("theirs", "batch_1", 5) is None
    assert store.page("theirs", after="batch_1") is None


def test_pages_are_newest_first(store: BatchStore) -> None:
    for number in range(3):
        store.add(_batch(number))
    store.add(_batch(3, "theirs"))
    page = store.page("ours", limit=2)
    assert page is not None and [row.id for row in page.rows] == ["batch_2", "batch_1"] and page.has_more
    page = store.page("ours", after="batch_1", limit=2)
    assert page is not None and [row.id for row in page.rows] == ["batch_0"] and not page.has_more


def test_a_claim_is_exclusive_until_its_lease_ends(store: BatchStore) -> None:
    store.add(_batch(1))
    store.add(_batch(2))
    store.add(_batch(3, status="completed"))
    first, second = _claimed(store), _claimed(store)
    assert ([first.id, second.id], first.epoch) == (["batch_1", "batch_2"], 1)
    assert store.claim(100.0, 115.0) is None
    kept = store.change(first, lease_until=130.0, num_completed=7)
    assert kept is not None and kept.num_completed == 7
    again = _claimed(store, 120.0)
    assert (again.id, again.epoch) == ("batch_2", 2)


def test_batches_of_busy_projects_are_not_claimed(store: BatchStore) -> None:
    for number, project in enumerate(("ours", "ours", "theirs")):
        store.add(_batch(number, project))
    claimed = store.claim(100.0, 115.0, ["ours"])
    assert claimed is not None and claimed.id == "batch_2"
    assert store.claim(100.0, 115.0, ["ours"]) is None
    assert _claimed(store).id == "batch_0"


def test_who_has_lost_a_claim_changes_nothing(stores: Stores) -> None:
    store, file = stores.batches(), StoredFile("file-out", "ours", "batch_output", "x.jsonl", 1, 1)
    store.add(_batch(1))
    first = _claimed(store)
    second = _claimed(store, 200.0)
    assert store.change(first, num_completed=5) is None
    assert store.change(first, status="completed") is None
    assert store.finish(first, [file], {"status": "completed"}) is None
    assert stores.files().get("ours", "file-out") is None
    row = store.get("ours", "batch_1")
    assert row == second and row is not None and row.status == "validating"


def test_the_end_and_its_files_happen_together(stores: Stores) -> None:
    store, file = stores.batches(), StoredFile("file-out", "ours", "batch_output", "x.jsonl", 1, 1)
    store.add(_batch(1))
    ended = store.finish(_claimed(store), [file], {"status": "completed", "completed_at": 9})
    assert ended is not None and (ended.status, ended.completed_at) == ("completed", 9)
    assert stores.files().get("ours", "file-out") == file
    assert store.claim(1e9, 2e9) is None


def test_a_cancelled_batch_stays_so_until_it_has_ended(store: BatchStore) -> None:
    store.add(_batch(1))
    running = _claimed(store)
    cancelling = store.cancel("ours", "batch_1", 7)
    assert cancelling is not None and (cancelling.status, cancelling.cancelling_at) == ("cancelling", 7)
    changed = store.change(running, status="in_progress", num_lines=3)
    assert changed is not None and (changed.status, changed.num_lines) == ("cancelling", 3)
    again = store.cancel("ours", "batch_1", 8)
    assert again is not None and again.cancelling_at == 7
    ended = store.finish(running, [], {"status": "cancelled", "cancelled_at": 9})
    assert ended is not None and ended.status == "cancelled"
    after = store.cancel("ours", "batch_1", 10)
    assert after is not None and after.status == "cancelled"


def test_a_batch_whose_end_is_being_written_is_not_cancelled(store: BatchStore) -> None:
    store.add(_batch(1))
    store.change(_claimed(store), status="finalizing", finalizing_at=6)
    after = store.cancel("ours", "batch_1", 7)
    assert after is not None and (after.status, after.cancelling_at) == ("finalizing", None)
