"""Setting the machine's clock neither locks a key nor refills a limit, also across restarts."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from myna.accounts.limiting import Attempt, LimitCounter, TokenEstimate
from myna.core.boot_clock import BootTime, boot_time
from myna.stores.counters_file import FileCounters

DAY_S = 86_400.0
PER_MINUTE = LimitCounter("key_a/requests/", "requests", 2, "key_a")
PER_DAY = LimitCounter("key_a/day/", "day", 1000, "key_a")


class Machine:
    """A machine whose clock anyone may set."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.wall = 1_800_000_000.0
        self.boot = BootTime("first-start", 100.0)
        self.counters = self._open()

    def _open(self) -> FileCounters:
        return FileCounters(self._path / "limits", lambda: self.wall, lambda: self.boot)

    def restart_server(self) -> None:
        self.counters.close()
        self.counters = self._open()

    def reboot(self) -> None:
        self.boot = BootTime(self.boot.boot_id + "x", 5.0)
        self.restart_server()

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.boot = self.boot._replace(seconds=self.boot.seconds + seconds)

    def admits(self, counter: LimitCounter = PER_MINUTE, tokens: int = 1) -> bool:
        attempt = Attempt((counter,), TokenEstimate(tokens, 0, is_unbounded=False), b"12345678")
        self.counters.update([counter.name], attempt)
        return attempt.has_taken

    def wait_s(self) -> float:
        attempt = Attempt((PER_MINUTE,), TokenEstimate(1, 0, is_unbounded=False), b"12345678")
        self.counters.update([PER_MINUTE.name], attempt)
        return 0.0 if attempt.refusal is None else attempt.refusal.wait_s or 0.0


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S, 30.0, -30.0])
def test_a_clock_that_is_set_changes_nothing(machine: Machine, jump_s: float, restarts: bool) -> None:
    assert [machine.admits() for _ in range(3)] == [True, True, False]
    machine.wall += jump_s
    if restarts:
        machine.restart_server()
    assert not machine.admits()
    assert machine.wait_s() == pytest.approx(30.0)
    machine.passes(30.0)
    assert [machine.admits() for _ in range(2)] == [True, False]
    machine.wall -= jump_s
    if restarts:
        machine.restart_server()
    assert not machine.admits()
    machine.passes(30.0)
    assert machine.admits()


def test_a_days_limit_is_not_lifted_by_a_clock_set_forward(machine: Machine) -> None:
    assert machine.admits(PER_DAY, 1000)
    machine.wall += DAY_S
    assert not machine.admits(PER_DAY, 10)


def test_a_clock_set_back_at_a_reboot_locks_nobody_and_lifts_nothing(machine: Machine) -> None:
    assert [machine.admits() for _ in range(3)] == [True, True, False]
    machine.wall -= 365 * DAY_S
    machine.reboot()
    assert not machine.admits()
    assert machine.wait_s() == pytest.approx(30.0)
    machine.passes(31.0)
    assert machine.admits()


def test_time_passes_while_no_server_runs(machine: Machine) -> None:
    assert [machine.admits() for _ in range(3)] == [True, True, False]
    machine.passes(60.0)
    machine.restart_server()
    assert machine.admits()
    machine.passes(60.0)
    machine.reboot()
    assert [machine.admits() for _ in range(3)] == [True, True, False]


def test_several_servers_have_the_same_time(machine: Machine, tmp_path: Path) -> None:
    machine.wall += 1000.0
    other = FileCounters(tmp_path / "limits", lambda: machine.wall, lambda: machine.boot)
    times: list[float] = []

    def look(values: Mapping[str, bytes], now: float) -> Mapping[str, bytes]:
        times.append(now)
        return {}

    for counters in (machine.counters, other):
        counters.update(["x"], look)
    other.close()
    assert times[0] == times[1]


def test_the_time_since_the_start_goes_forward() -> None:
    first, second = boot_time(), boot_time()
    assert first.boot_id == second.boot_id
    assert second.seconds >= first.seconds > 0
