"""What `myna doctor` says of the engines: which are here, which runs models, what each promises."""

import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from myna.core.errors import ConfigurationError
from myna.core.finding import Finding, Findings, advice, ok, wrong
from myna.engines.registry import ENGINES, engines_to_try, is_installed


def engine_findings(wanted: str) -> Findings:
    """`wanted` is the setting `engine`."""
    try:
        order = engines_to_try(wanted)
    except ConfigurationError as exc:
        yield wrong(exc.message, remedy="Install an engine, then look again.")
        return
    if wanted != "auto":
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
    elif wanted == "auto":
        yield advice(
            "Myna's own engine is not built here.",
            remedy="Install a C++ compiler and make, then install Myna again.",
        )


def _promise(name: str) -> Finding:
    label = _with_version(name)
    if ENGINES[name].is_batch_invariant:
        return ok(
            f"{label} is here: batch-invariant, so a request and seed get the same answer whatever else it "
            "is doing."
        )
    return ok(f"{label} is here: not batch-invariant, so an answer may change while others run.")


def _with_version(name: str) -> str:
    """The engine and, where it is another project's package, which version of it."""
    with suppress(PackageNotFoundError):
        if distribution := ENGINES[name].distribution:
            return f"{name} {version(distribution)}"
    return name


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
