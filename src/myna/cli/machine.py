"""This machine as the catalog's advice sees it, measured."""

import os
from functools import partial

from myna.catalog.advice import Machine
from myna.catalog.memory import read_memory
from myna.catalog.memory_planner import capacity
from myna.engines.registry import may_run
from myna.settings import Settings


def this_machine(settings: Settings) -> Machine:
    """Takes some 100 ms, in which it reads memory as fast as it can."""
    from myna.catalog.bandwidth import best_bandwidth

    num_threads, memory = settings.threads or usable_threads(), read_memory()
    return Machine(
        capacity(memory, settings.models_bytes),
        best_bandwidth(settings.home / "bandwidth.json", num_threads, memory.total_bytes),
        partial(may_run, settings.engine),
    )


def usable_threads() -> int:
    """The number of threads that this process may use at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
