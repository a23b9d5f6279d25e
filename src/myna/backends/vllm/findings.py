"""Findings about vLLM: whether it is installed, where, and what it doesn't promise."""

from myna.backends.vllm.environment import VllmEnvironment, has_gpu
from myna.core.errors import ConfigurationError
from myna.core.finding import Findings, advice, ok, wrong
from myna.core.translatable import N_

_INSTALL = N_("Install it with: myna engines install vllm")


def vllm_findings(environment: VllmEnvironment, *, is_wanted: bool) -> Findings:
    """`is_wanted`: the setting `engine` names it."""
    if not environment.is_there:
        if is_wanted:
            yield wrong(N_("vLLM is not at {python}.", python=environment.python), remedy=_INSTALL)
        elif has_gpu():
            yield advice(
                N_("This machine has a GPU, and vLLM, which uses it, is not installed."), remedy=_INSTALL
            )
        else:
            yield ok(
                N_("vLLM is not installed. Only folders of safetensors need it: myna engines install vllm")
            )
        return
    try:
        version = environment.version()
    except ConfigurationError as exc:
        yield wrong(exc.text, remedy=_INSTALL)
        return
    yield ok(
        N_(
            "vllm {version} runs folders of safetensors, with {python}. It is not batch-invariant: an "
            "answer may "
            "change while other requests run.",
            version=version,
            python=environment.python,
        )
    )
    if not version.endswith("cpu") and not has_gpu():
        yield wrong(
            N_("This vLLM needs a GPU, and this machine has none that can be used."),
            remedy=N_("Install the GPU's driver, or vLLM's build for processors; see docs/vllm.md."),
        )
