"""One contract, every store: values change together or not at all, one update after the other."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from myna.core.counters import CounterStore
from myna.stores.registry import open_stores


@pytest.fixture
def store(url: str) -> Iterator[CounterStore]:
    opened = open_stores(url).counters()
    yield opened
    opened.close()


def _add_one(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
    return {name: b"%d" % (int(values.get(name, b"0")) + 1) for name in ("a", "b")}


def _read(store: CounterStore, *names: str) -> dict[str, bytes]:
    seen: dict[str, bytes] = {}

    def look(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        seen.update(values)
        return {}

    store.update(names, look)
    return seen


def test_what_is_written_is_seen_next_time_and_nothing_else_is(store: CounterStore) -> None:
    assert _read(store, "a", "b") == {}
    store.update(["b", "a"], _add_one)
    store.update(["a", "b"], _add_one)
    assert _read(store, "a", "c") == {"a": b"2"}


def test_what_raises_changes_nothing(store: CounterStore) -> None:
    store.update(["a", "b"], _add_one)

    def fail(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.update(["a", "b"], fail)
    store.update(["a", "b"], _add_one)
    assert _read(store, "a", "b") == {"a": b"2", "b": b"2"}


def test_the_time_is_given_and_goes_forward(store: CounterStore) -> None:
    times: list[float] = []

    def look(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        times.append(now)
        return {}

    store.update(["a"], look)
    store.update(["a"], look)
    assert 0 < times[0] <= times[1]


def test_updates_of_several_servers_are_one_after_the_other(url: str) -> None:
    stores = (
        [open_stores(url).counters()] * 3
        if url == "memory:"
        else [open_stores(url).counters() for _ in range(3)]
    )
    threads = [
        threading.Thread(target=lambda s=store: [s.update(["b", "a"], _add_one) for _ in range(40)])
        for store in stores
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _read(stores[0], "a", "b") == {"a": b"240", "b": b"240"}
    for store in stores:
        store.close()


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "myna.db-limits").write_bytes(b"not a database, " * 100)
    store = open_stores(f"sqlite:///{tmp_path}/myna.db").counters()
    store.update(["a", "b"], _add_one)
    assert _read(store, "a") == {"a": b"1"}
    store.close()
