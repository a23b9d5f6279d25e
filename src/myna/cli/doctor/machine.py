"""The machine: processor, memory, disk, the limits of its control group, and what confines processes."""

import os
import platform
import shutil
from pathlib import Path
from typing import Final

import psutil

from myna.catalog.memory import read_memory
from myna.catalog.memory_planner import WORKER_BYTES
from myna.catalog.store import ModelStore
from myna.cli.console import megabytes
from myna.cli.machine import usable_threads
from myna.core.confinement import missing
from myna.core.finding import Findings, advice, ok, wrong
from myna.core.paths import expand_user
from myna.core.translatable import N_
from myna.settings import Settings

# Those that speed up a model's arithmetic, as Linux names them.
_INSTRUCTIONS: Final = (
    *("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
_LEAST_DISK_BYTES: Final = 256 << 20


def processor(root: Path = Path("/")) -> Findings:
    name, flags = _read_processor(root)
    useful = [flag for flag in _INSTRUCTIONS if flag in flags]
    yield ok(
        N_(
            "{name}: {num_cores} cores, {num_threads} threads.",
            name=name,
            num_cores=psutil.cpu_count(logical=False) or "?",
            num_threads=os.cpu_count(),
        )
    )
    if flags and not useful:
        yield advice(
            N_("It has none of the instruction sets that make models fast."),
            remedy=N_("Expect a few tokens per second; choose the smallest model."),
        )
    elif useful:
        yield ok(N_("Instruction sets for arithmetic: {names}.", names=", ".join(useful)))
    usable = usable_threads()
    if (quota := _processor_quota(root)) is not None and quota < usable:
        yield advice(
            N_(
                "The control group allows {quota:.1f} processors but shows {num_threads} threads.",
                quota=quota,
                num_threads=usable,
            ),
            remedy=N_(
                "Set threads = {num_threads}, or give the container more processors.",
                num_threads=max(1, int(quota)),
            ),
        )
    else:
        yield ok(N_("This process may use {num_threads} of them.", num_threads=usable))


def memory(settings: Settings) -> Findings:
    machine, allowed = psutil.virtual_memory(), read_memory()
    if allowed.total_bytes < machine.total:
        yield ok(
            N_(
                "The control group allows {limit} of {total}.",
                limit=megabytes(allowed.total_bytes),
                total=megabytes(machine.total),
            )
        )
    needed = _default_bytes(settings) + WORKER_BYTES
    if needed > allowed.free_bytes:
        yield wrong(
            N_(
                "{free} are free, and the default model needs {needed}.",
                free=megabytes(allowed.free_bytes),
                needed=megabytes(needed),
            ),
            remedy=N_("Close other programs, or choose a smaller model with MYNA_MODEL."),
        )
    else:
        yield ok(
            N_(
                "{free} of {total} are free.",
                free=megabytes(allowed.free_bytes),
                total=megabytes(allowed.total_bytes),
            )
        )


def disk(settings: Settings) -> Findings:
    place = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    needed = _LEAST_DISK_BYTES
    store = ModelStore.at(settings.home)
    entry = store.catalog.get(settings.model)
    if entry is not None and not store.has(entry):
        needed += entry.num_bytes
    if not os.access(place, os.W_OK):
        yield wrong(
            N_("{folder} can't be written to.", folder=place),
            remedy=N_("Set MYNA_HOME to a folder of your own."),
        )
    elif free < needed:
        yield wrong(
            N_(
                "The disk of {home} has {free} free, and {needed} are needed.",
                home=settings.home,
                free=megabytes(free),
                needed=megabytes(needed),
            ),
            remedy=N_("Free some space, or set MYNA_HOME to a folder on another disk."),
        )
    else:
        yield ok(N_("The disk of {home} has {free} free.", home=settings.home, free=megabytes(free)))


def confinement() -> Findings:
    if names := missing():
        yield advice(
            N_(
                "The processes that read model files and run templates are not confined by {names}, which "
                "this system doesn't have.",
                names=" or ".join(names),
            ),
            remedy=N_(
                "Only pull models that you trust, or run Myna as a user of its own, on Linux 5.13 or newer."
            ),
        )
    else:
        yield ok(
            N_("The processes that read model files and run templates are confined by Landlock and seccomp.")
        )


def _default_bytes(settings: Settings) -> int:
    """Size of the default model's weights; 0 if it is not known yet."""
    if settings.engine == "fake":
        return 0
    own = [model.path for model in settings.models if model.id == settings.model and model.path]
    path = own[0] if own else expand_user(settings.model)
    if path.is_file():
        return path.stat().st_size
    entry = ModelStore.at(settings.home).catalog.get(settings.model)
    return entry.num_bytes if entry else 0


def _read_processor(root: Path) -> tuple[str, set[str]]:
    try:
        lines = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    rows = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = rows.get("flags") or rows.get("features") or ""
    return rows.get("model name") or platform.machine(), set(flags.split())


def _processor_quota(root: Path) -> float | None:
    """Processors that control groups (versions 2 and 1) allow; None for no limit."""
    try:
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            folder = root / "sys/fs/cgroup/cpu"
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        except OSError:
            return None
    return int(quota) / int(period) if quota.strip().lstrip("-").isdigit() and int(quota) > 0 else None
