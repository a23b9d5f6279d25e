"""The plan of who may stay, and the memory that it is made with."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.catalog.memory import Memory, read_memory
from myna.catalog.memory_planner import (
    MIN_KV_TOKENS,
    WORKER_BYTES,
    MemoryNeed,
    ResidentModel,
    capacity,
    memory_need,
    plan_memory,
    spare_bytes,
)
from myna.core.backend import ModelSize
from myna.core.errors import ModelTooLarge

sizes = st.integers(0, 1 << 34)
residents = st.lists(
    st.builds(
        ResidentModel,
        index=st.just(0),
        reserved_bytes=sizes,
        held_bytes=sizes,
        is_busy=st.booleans(),
        last_used=st.integers(0, 99),
    ),
    max_size=6,
).map(
    lambda drawn: [
        ResidentModel(place, r.reserved_bytes, min(r.held_bytes, r.reserved_bytes), r.is_busy, r.last_used)
        for place, r in enumerate(drawn)
    ]
)


@given(sizes, sizes, st.booleans(), residents, sizes, sizes, sizes)
def test_a_plan_fits_and_asks_nobody_to_leave_in_vain(
    fixed: int, kv: int, is_exact: bool, there: list[ResidentModel], total: int, free: int, limit: int
) -> None:
    need, memory = MemoryNeed("m", fixed, kv, is_exact), Memory(max(total, free), free)
    most = capacity(memory, limit)
    now = min(most, free - spare_bytes(memory) + sum(resident.held_bytes for resident in there))
    try:
        plan = plan_memory(need, there, memory, limit)
    except ModelTooLarge:
        assert need.min_bytes > now
        return
    stay = [resident for resident in there if resident.index not in plan.evict]
    assert fixed + plan.kv_bytes + sum(resident.reserved_bytes for resident in stay) <= now
    assert plan.kv_bytes >= kv
    assert not is_exact or plan.kv_bytes == kv
    for place in plan.evict:
        others = sum(resident.reserved_bytes for resident in stay) + there[place].reserved_bytes
        assert need.min_bytes + others > now


def test_idle_models_leave_before_busy_ones_whatever_their_age() -> None:
    busy, idle = ResidentModel(0, 100, 100, True, 1), ResidentModel(1, 100, 100, False, 9)
    assert plan_memory(MemoryNeed("m", 100, 0, True), [busy, idle], Memory(1000, 800), 200).evict == (1,)


def test_a_large_machine_spares_no_more_than_it_must() -> None:
    assert spare_bytes(Memory(4 << 30, 0)) == 1 << 28
    assert spare_bytes(Memory(512 << 30, 0)) == 1 << 30
    assert plan_memory(MemoryNeed("m", 1 << 30, 0, True), [], Memory(512 << 30, 3 << 30), 0).evict == ()


def test_settings_make_the_need() -> None:
    size = ModelSize(1000, 10, 4096)
    assert memory_need("m", size, context_tokens=0, memory_bytes=0).min_bytes == 1000 + WORKER_BYTES + 40960
    assert memory_need("m", size, context_tokens=100, memory_bytes=0).kv_bytes == 1000
    assert (
        memory_need("m", ModelSize(0, 1, 1 << 20), context_tokens=0, memory_bytes=0).kv_bytes == MIN_KV_TOKENS
    )
    exact = memory_need("m", size, context_tokens=100, memory_bytes=77)
    assert (exact.kv_bytes, exact.is_exact) == (77, True)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


def test_a_container_of_version_2_is_the_machine(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "1000000\n",
            "sys/fs/cgroup/memory.current": "700000\n",
            "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 200000\nfile 5\n",
        },
    )
    assert read_memory(root) == Memory(1_000_000, 500_000)


def test_the_narrowest_of_nested_groups_counts(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/system.slice/"
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/myna.service\n",
            f"{group}memory.max": "500000\n",
            f"{group}memory.current": "600000\n",
            f"{group}memory.stat": "inactive_file 0\n",
            f"{group}myna.service/memory.max": "max\n",
            f"{group}myna.service/memory.current": "1\n",
            f"{group}myna.service/memory.stat": "inactive_file 0\n",
        },
    )
    assert read_memory(root) == Memory(500_000, 0)


def test_version_1_counts_too_and_no_limit_is_none(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory/"
    files = {
        "proc/self/cgroup": "4:memory:/box\n3:cpuset:/\n0::/\n",
        f"{group}memory.limit_in_bytes": "9223372036854771712\n",
        f"{group}memory.usage_in_bytes": "1\n",
        f"{group}memory.stat": "total_inactive_file 0\n",
        f"{group}box/memory.limit_in_bytes": "4000\n",
        f"{group}box/memory.usage_in_bytes": "3000\n",
        f"{group}box/memory.stat": "total_inactive_file 500\n",
    }
    assert read_memory(write(tmp_path, files)) == Memory(4000, 1500)


@pytest.mark.parametrize("files", [{}, {"proc/self/cgroup": "nonsense\n0::/../..\n"}])
def test_without_groups_it_is_the_whole_machine(tmp_path: Path, files: dict[str, str]) -> None:
    memory = read_memory(write(tmp_path, files))
    assert 0 < memory.free_bytes <= memory.total_bytes
