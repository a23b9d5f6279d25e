"""The account of snapshots."""

from myna.engines.snapshots import Snapshots


def test_a_snapshot_belongs_to_all_that_share_it() -> None:
    kept = Snapshots([7, 8, 9])
    first, second = kept.add(0, 16), kept.add(0, 32)
    kept.share(0, 1, 31)
    assert (kept.reusable(0, 99), kept.reusable(1, 99), kept.reusable(1, 15)) == (32, 16, 0)
    assert kept.at(1, 16) == first
    assert kept.trim(0, 0) == [second]
    assert kept.trim(1, 16) == []
    assert kept.trim(1, 15) == [first]
    assert kept.reusable(1, 99) == 0


def test_the_least_recently_used_one_goes_for_all() -> None:
    kept = Snapshots([7, 8])
    first, second = kept.add(0, 16), kept.add(0, 32)
    kept.share(0, 1, 32)
    kept.at(0, 16)
    assert kept.add(2, 16) == second
    assert (kept.reusable(0, 99), kept.reusable(1, 99)) == (16, 16)
    assert kept.add(2, 32) == first
    assert (kept.reusable(0, 99), kept.reusable(1, 99), kept.reusable(2, 99)) == (0, 0, 32)
