"""This machine as the catalog's advice sees it, measured."""

import os

from myna.catalog.advice import Machine, recommended
from myna.catalog.catalog_file import open_catalog
from myna.catalog.memory import read_memory
from myna.catalog.memory_planner import capacity
from myna.cli.backends import kv_cache_types
from myna.cli.banner import command_name
from myna.cli.console import megabytes, note
from myna.core.translatable import N_
from myna.engines.registry import may_run
from myna.settings import DEFAULT_MODEL, Settings


def this_machine(settings: Settings) -> Machine:
    """Takes some 100 ms, in which it reads memory as fast as it can."""
    from myna.catalog.bandwidth import best_bandwidth

    num_threads, memory = settings.threads or usable_threads(), read_memory()
    return Machine(
        capacity(memory, settings.models_bytes),
        best_bandwidth(settings.home / "bandwidth.json", num_threads, memory.total_bytes),
        lambda entry: may_run(settings.engine, entry.architecture, embeds="embeddings" in entry.capabilities),
        settings.kv_cache_type,
        kv_cache_types(settings),
    )


def note_better_model(settings: Settings) -> None:
    """Name the model to take, if the one that Myna chooses by itself is smaller than what runs here."""
    if settings.model != DEFAULT_MODEL or settings.engine == "fake":
        return
    catalog = open_catalog(settings.home)
    advice = recommended(catalog, this_machine(settings), "chat")
    if advice is not None and advice.entry.num_bytes > 2 * catalog.find(DEFAULT_MODEL).num_bytes:
        note(
            N_(
                "This machine can run {model}, which is better ({size}, about {speed:.0f} tokens per "
                "second): {command}",
                model=advice.entry.id,
                size=megabytes(advice.entry.num_bytes),
                speed=advice.tokens_per_s,
                command=f"{command_name()} serve {advice.entry.id}",
            )
        )


def usable_threads() -> int:
    """The number of threads that this process may use at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
