"""The engines: which are installed, which runs the model and why, and what each guarantees."""

import os
from typing import Final

from myna.catalog.loading import engines_to_try
from myna.cli.doctor.finding import Finding, Findings, advice, ok, wrong
from myna.core.errors import ConfigurationError
from myna.core.translatable import N_
from myna.engines.registry import ENGINES, is_installed
from myna.settings import Settings

# Engines whose results don't depend on the batch: `Engine.is_batch_invariant`, without loading one.
BATCH_INVARIANT: Final = frozenset({"native", "fake"})


def engines(settings: Settings) -> Findings:
    try:
        order = engines_to_try(settings.engine)
    except ConfigurationError as exc:
        yield wrong(exc.text, remedy=N_("Install an engine, then run this again."))
        return
    if settings.engine != "auto":
        yield ok(N_("{engine} runs every model, because the setting engine names it.", engine=order[0]))
    elif len(order) > 1:
        yield ok(
            N_(
                "{engine} runs every model that it can, {others} runs the rest.",
                engine=order[0],
                others=" or ".join(order[1:]),
            )
        )
    else:
        yield ok(N_("{engine} runs every model, because no other engine is installed.", engine=order[0]))
    for name in ENGINES:
        if is_installed(name):
            yield _promise(name)
    if "native" in order:
        yield from _kernels()
    elif settings.engine == "auto":
        yield advice(
            N_("Myna's own engine was not built in this installation."),
            remedy=N_("Install a C++ compiler and make, then install Myna again."),
        )


def _promise(name: str) -> Finding:
    if name in BATCH_INVARIANT:
        return ok(
            N_(
                "{name} is installed. It is batch-invariant: the same request and seed give the same "
                "answer, whatever else is running.",
                name=name,
            )
        )
    return ok(
        N_(
            "{name} is installed. It is not batch-invariant: an answer may change while other requests run.",
            name=name,
        )
    )


def _kernels() -> Findings:
    from myna._native import kernel_name, usable_threads

    forced = os.environ.get("MYNA_CPU")
    if forced:
        yield advice(
            N_("It computes with the {kernels} kernels, as set by MYNA_CPU.", kernels=kernel_name()),
            remedy=N_("Unset MYNA_CPU to use the fastest."),
        )
    elif kernel_name() == "portable":
        yield advice(
            N_("It computes with portable C++; there are no faster kernels for this processor."),
            remedy=N_("Expect a few tokens per second; choose the smallest model."),
        )
    else:
        yield ok(
            N_(
                "It computes with the {kernels} kernels on {num_threads} threads.",
                kernels=kernel_name(),
                num_threads=usable_threads(),
            )
        )
