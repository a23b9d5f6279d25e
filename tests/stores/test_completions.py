"""One contract, every store: what goes in comes out, to its owner alone, in order, page by page."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.core.errors import ConfigurationError, DatabaseError
from myna.core.stored import (
    MAX_DELETED_BYTES,
    MAX_DELETED_ROWS,
    CompletionStore,
    StoredCompletion,
    StoredUsage,
)
from myna.stores.registry import open_stores


@pytest.fixture
def store(url: str) -> Iterator[CompletionStore]:
    opened = open_stores(url).completions()
    yield opened
    opened.close()


def _row(number: int, project: str = "ours", model: str = "tiny", **metadata: str) -> StoredCompletion:
    return StoredCompletion(
        id=f"chatcmpl-{number}",
        project=project,
        created=1_700_000_000,
        model=model,
        item=f'{{"id":"chatcmpl-{number}","text":"喂"}}'.encode(),
        messages=b"[]",
        replay=bytes(range(256)),
        metadata=metadata,
    )


def _ids(store: CompletionStore, **query: object) -> list[str]:
    page = store.page("ours", **query)  # type: ignore[arg-type]
    assert page is not None
    return [row.id.removeprefix("chatcmpl-") for row in page.rows]


def test_what_goes_in_comes_out(store: CompletionStore) -> None:
    store.put(_row(1, city="北京", mood=""))
    assert store.get("ours", "chatcmpl-1") == _row(1, city="北京", mood="")


def test_another_project_sees_nothing_and_changes_nothing(store: CompletionStore) -> None:
    store.put(_row(1, a="b"))
    assert store.get("theirs", "chatcmpl-1") is None
    assert not store.set_metadata("theirs", "chatcmpl-1", {})
    assert not store.delete("theirs", "chatcmpl-1")
    page = store.page("theirs")
    assert page is not None and page.rows == []
    assert store.page("theirs", after="chatcmpl-1") is None
    assert store.get("ours", "chatcmpl-1") == _row(1, a="b")


def test_pages_follow_each_other_without_gap_or_repeat(store: CompletionStore) -> None:
    for number in range(7):
        store.put(_row(number))
    assert _ids(store) == ["6", "5", "4", "3", "2", "1", "0"]
    for order, expected in (("desc", "6543210"), ("asc", "0123456")):
        seen, after = "", None
        while True:
            page = store.page("ours", after=after, limit=3, order=order)  # type: ignore[arg-type]
            assert page is not None
            seen += "".join(row.id[-1] for row in page.rows)
            after = page.rows[-1].id
            if not page.has_more:
                break
        assert seen == expected


def test_a_page_ends_before_it_is_too_large_and_has_one_row_at_least(store: CompletionStore) -> None:
    for number in range(5):
        store.put(_row(number))
    size = len(_row(0).item)
    for max_bytes, expected in (
        (0, ["4"]),
        (size - 1, ["4"]),
        (2 * size, ["4", "3"]),
        (5 * size, list("43210")),
    ):
        page = store.page("ours", max_bytes=max_bytes)
        assert page is not None
        assert [row.id[-1] for row in page.rows] == expected
        assert page.has_more == (len(expected) < 5)
    assert _ids(store, after="chatcmpl-3", max_bytes=1) == ["2"]


def test_usage_counts_what_a_project_has_stored(store: CompletionStore) -> None:
    assert store.usage("ours") == StoredUsage(0, 0)
    for number in range(3):
        store.put(_row(number))
    store.put(_row(3, project="theirs"))
    size = len(_row(0).item) + len(_row(0).messages) + len(_row(0).replay)
    assert store.usage("ours") == StoredUsage(3, 3 * size)
    assert store.delete("ours", "chatcmpl-0")
    assert store.usage("ours") == StoredUsage(2, 2 * size)


def test_old_rows_are_deleted_in_pieces_and_others_stay(store: CompletionStore) -> None:
    for number in range(MAX_DELETED_ROWS + 5):
        store.put(msgspec.structs.replace(_row(number, city="x"), created=1000 + number))
    assert store.delete_older(1000) == 0
    limit = 1000 + MAX_DELETED_ROWS + 3
    assert [store.delete_older(limit) for _ in range(3)] == [MAX_DELETED_ROWS, 3, 0]
    assert _ids(store, order="asc") == [str(MAX_DELETED_ROWS + 3), str(MAX_DELETED_ROWS + 4)]


def test_large_old_rows_are_deleted_one_at_a_time(tmp_path: Path) -> None:
    store = open_stores(f"sqlite:///{tmp_path}/myna.db").completions()
    for number in range(3):
        store.put(msgspec.structs.replace(_row(number), item=bytes(MAX_DELETED_BYTES // 2 + 1)))
    assert [store.delete_older(2_000_000_000) for _ in range(4)] == [1, 1, 1, 0]
    store.close()


def test_filters_hold_together(store: CompletionStore) -> None:
    store.put(_row(1, lang="zh", use="test"))
    store.put(_row(2, lang="zh"))
    store.put(_row(3, model="other", lang="zh", use="test"))
    assert _ids(store, metadata={"lang": "zh"}) == ["3", "2", "1"]
    assert _ids(store, metadata={"lang": "zh", "use": "test"}) == ["3", "1"]
    assert _ids(store, metadata={"lang": "zh", "use": "test"}, model="tiny") == ["1"]
    assert _ids(store, metadata={"lang": "en"}) == []


def test_metadata_is_replaced_not_merged(store: CompletionStore) -> None:
    store.put(_row(1, old="1"))
    assert store.set_metadata("ours", "chatcmpl-1", {"new": "2"})
    row = store.get("ours", "chatcmpl-1")
    assert row is not None and row.metadata == {"new": "2"}
    assert not store.set_metadata("ours", "chatcmpl-9", {"new": "2"})


def test_deleted_is_gone_with_its_metadata(store: CompletionStore) -> None:
    store.put(_row(1, a="b"))
    assert store.delete("ours", "chatcmpl-1")
    assert not store.delete("ours", "chatcmpl-1")
    store.put(_row(1))
    row = store.get("ours", "chatcmpl-1")
    assert row is not None and row.metadata == {}


@given(
    metadata=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=64),
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=512),
        max_size=16,
    )
)
def test_any_metadata_survives(store: CompletionStore, metadata: dict[str, str]) -> None:
    store.put(_row(1))
    assert store.set_metadata("ours", "chatcmpl-1", metadata)
    row = store.get("ours", "chatcmpl-1")
    assert row is not None and row.metadata == metadata


def test_a_sqlite_file_is_its_owners_alone_and_survives_reopening(tmp_path: Path) -> None:
    path = tmp_path / "data" / "myna.db"
    first = open_stores(f"sqlite:///{path}").completions()
    first.put(_row(1))
    first.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = open_stores(f"sqlite:///{path}").completions()
    assert second.get("ours", "chatcmpl-1") == _row(1)
    second.close()


def test_a_file_that_is_not_a_database_or_is_newer_is_refused_in_a_sentence(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database, " * 100)
    with pytest.raises(DatabaseError, match="can't be opened"):
        open_stores(f"sqlite:///{garbage}").completions()
    newer = tmp_path / "newer.db"
    open_stores(f"sqlite:///{newer}").completions().close()
    connection = sqlite3.connect(newer)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(DatabaseError, match="newer version of Myna"):
        open_stores(f"sqlite:///{newer}").completions()


def test_a_database_that_has_tables_is_copied_before_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.execute("INSERT INTO notes VALUES ('mine')")
    connection.commit()
    connection.close()
    open_stores(f"sqlite:///{path}").completions().close()
    copy = sqlite3.connect(f"{path}.before-upgrade-from-unversioned")
    assert copy.execute("SELECT text FROM notes").fetchall() == [("mine",)]
    copy.close()


def test_an_unknown_scheme_names_the_known() -> None:
    with pytest.raises(ConfigurationError, match="memory, sqlite, postgresql"):
        open_stores("mongodb://x").completions()
