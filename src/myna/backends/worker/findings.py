"""Findings about engines: which are installed, which one runs models and why, and what each guarantees."""

import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from myna.core.errors import ConfigurationError
from myna.core.finding import Finding, Findings, advice, ok, wrong
from myna.core.translatable import N_
from myna.engines.registry import ENGINES, engines_to_try, is_installed


def engine_findings(wanted: str) -> Findings:
    """`wanted` is the setting `engine`."""
    try:
        order = engines_to_try(wanted)
    except ConfigurationError as exc:
        yield wrong(exc.text, remedy=N_("Install an engine, then run this again."))
        return
    if wanted != "auto":
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
    elif wanted == "auto":
        yield advice(
            N_("Myna's own engine was not built in this installation."),
            remedy=N_("Install a C++ compiler and make, then install Myna again."),
        )


def _promise(name: str) -> Finding:
    label = _with_version(name)
    if ENGINES[name].is_batch_invariant:
        return ok(
            N_(
                "{name} is installed. It is batch-invariant: the same request and seed give the same "
                "answer, whatever else is running.",
                name=label,
            )
        )
    return ok(
        N_(
            "{name} is installed. It is not batch-invariant: an answer may change while other requests run.",
            name=label,
        )
    )


def _with_version(name: str) -> str:
    """The engine's name and, if it is another project's package, its version."""
    with suppress(PackageNotFoundError):
        if distribution := ENGINES[name].distribution:
            return f"{name} {version(distribution)}"
    return name


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
