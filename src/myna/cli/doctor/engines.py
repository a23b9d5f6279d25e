"""The engines: which are here, which runs the model and why, what each promises."""

import os
from typing import Final

from myna.catalog.loading import engines_to_try
from myna.cli.doctor.finding import Finding, Findings, advice, ok, wrong
from myna.core.errors import ConfigurationError
from myna.engines.registry import ENGINES, is_installed
from myna.settings import Settings

# Whose arithmetic has the same bits in any batch: `Engine.is_batch_invariant`, known without loading one.
BATCH_INVARIANT: Final = frozenset({"native", "fake"})


def engines(settings: Settings) -> Findings:
    try:
        order = engines_to_try(settings.engine)
    except ConfigurationError as exc:
        yield wrong(exc.message, remedy="Install an engine, then look again.")
        return
    if settings.engine != "auto":
        yield ok(f"{order[0]} runs every model, since the setting engine names it.")
    elif len(order) > 1:
        yield ok(f"{order[0]} runs a model where it can, else {' or '.join(order[1:])} does.")
    else:
        yield ok(f"{order[0]} runs every model, since no other engine is installed.")
    for name in ENGINES:
        if is_installed(name):
            yield _promise(name)
    if "native" in order:
        yield from _kernels()
    elif settings.engine == "auto":
        yield advice(
            "Myna's own engine is not built here.",
            remedy="Install a C++ compiler and make, then install Myna again.",
        )


def _promise(name: str) -> Finding:
    if name in BATCH_INVARIANT:
        return ok(
            f"{name} is here: batch-invariant, so a request and seed get the same answer whatever else it "
            "is doing."
        )
    return ok(f"{name} is here: not batch-invariant, so an answer may change while others run.")


def _kernels() -> Findings:
    from myna._native import kernel_name, usable_threads

    forced = os.environ.get("MYNA_CPU")
    if forced:
        yield advice(
            f"It computes with {kernel_name()}, as MYNA_CPU asks.", remedy="Unset MYNA_CPU for the fastest."
        )
    elif kernel_name() == "portable":
        yield advice(
            "It computes with portable C++, as no faster kernels fit this processor.",
            remedy="Expect a few tokens a second; choose the smallest model.",
        )
    else:
        yield ok(f"It computes with {kernel_name()} on {usable_threads()} threads.")
