"""vLLM's engine: its options from the worker's, loading, and what it says about itself. Imports vLLM when it
loads."""

import dataclasses
import difflib
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from myna.core.errors import ConfigurationError, GenerationFailed, InvalidRequest, Overloaded
from myna.core.generator import ModelInfo
from myna.core.translatable import N_
from myna.workers.frames import WorkerSpec
from myna.workers.vllm.adapters import Adapter, cannot_load, lora_arguments, read_adapters
from myna.workers.vllm.stats import StepStats

_log: Final = logging.getLogger(__name__)
_MAX_LOGPROBS: Final = 20
# What the worker relies on.
_FIXED: Final[Mapping[str, object]] = {
    "scheduling_policy": "priority",
    "logprobs_mode": "raw_logprobs",
    "generation_config": "vllm",
    "structured_outputs_config": {"backend": "guidance"},
    "skip_tokenizer_init": False,
    "disable_log_stats": False,
}


def engine_arguments(
    spec: WorkerSpec, known: Mapping[str, Any], adapters: Sequence[Adapter] = (), *, is_cpu: bool
) -> dict[str, Any]:
    """The arguments of `AsyncEngineArgs`, whose fields are `known`. Raises `ConfigurationError` for an
    option that vLLM doesn't have, or that the worker sets itself."""
    for name in spec.options:
        if name in _FIXED or name == "model":
            raise ConfigurationError(N_("The option {name} of vLLM is set by Myna; remove it.", name=name))
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = N_("did you mean {name}?", name=nearest[0]) if nearest else N_("see its documentation.")
            raise ConfigurationError(N_("vLLM has no option {name}; {hint}", name=name, hint=hint))
    chosen: dict[str, Any] = {"model": spec.path, "max_logprobs": _MAX_LOGPROBS}
    # -1: as long as its memory allows, up to the model's own.
    chosen["max_model_len"] = spec.context_tokens or -1
    if kv_bytes := spec.memory_bytes or (spec.max_kv_bytes if is_cpu else 0):
        chosen["kv_cache_memory_bytes"] = kv_bytes
    return {**chosen, **lora_arguments(adapters), **spec.options, **_FIXED}


class VllmEngine:
    """An `AsyncLLM` and its facts. Created in the event loop that uses it."""

    def __init__(self, spec: WorkerSpec, step_stats: StepStats) -> None:
        """Blocks until the model is loaded, for minutes. Raises `ConfigurationError`, or what vLLM raises."""
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM
        from vllm.v1.metrics.loggers import StatLoggerBase

        import vllm

        class Logger(StatLoggerBase):  # type: ignore[misc]
            def __init__(self, vllm_config: Any, engine_index: int = 0) -> None: ...
            def log_engine_initialized(self) -> None: ...
            def record(
                self,
                scheduler_stats: Any,
                iteration_stats: Any,
                mm_cache_stats: Any = None,
                engine_idx: int = 0,
            ) -> None:
                step_stats.on_step(scheduler_stats, iteration_stats)

        known = {field.name: field for field in dataclasses.fields(AsyncEngineArgs)}
        self._adapters = read_adapters(spec.adapters)
        arguments = AsyncEngineArgs(
            **engine_arguments(spec, known, self._adapters, is_cpu=current_platform.is_cpu())
        )
        self._llm = AsyncLLM.from_engine_args(
            arguments, usage_context=UsageContext.ENGINE_CONTEXT, stat_loggers=[Logger]
        )
        info = _info(self._llm.vllm_config, vllm.__version__, current_platform.device_type)
        self.info = replace(info, adapters={adapter.name: adapter.digest for adapter in self._adapters})
        self._lora_requests: dict[str, Any] = {}

    async def load_adapters(self) -> None:
        """Before the first request. Raises `ConfigurationError`, which names the adapter."""
        from vllm.lora.request import LoRARequest

        for number, adapter in enumerate(self._adapters, 1):
            lora = LoRARequest(adapter.name, number, str(adapter.path))
            try:
                await self._llm.add_lora(lora)
            except Exception as error:
                reason = str(error).replace(str(adapter.path), "")
                raise cannot_load(
                    adapter.name,
                    N_("vLLM refuses it ({reason}); it must be an adapter of this model.", reason=reason),
                ) from error
            self._lora_requests[adapter.name] = lora

    @property
    def is_dead(self) -> bool:
        return bool(self._llm.errored)

    async def generate(
        self,
        tokens: tuple[int, ...],
        parameters: Mapping[str, Any],
        id: str,
        *,
        grammar: str | None,
        cache_salt: str,
        priority: int,
        adapter: str,
    ) -> AsyncGenerator[Any, None]:
        """vLLM's outputs of one choice, each with the tokens since the last. Closing it aborts. Raises a
        `MynaError`; `is_dead` says whether the engine is."""
        from vllm.exceptions import GracefulHTTPError, VLLMClientError
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
        from vllm.v1.engine.exceptions import EngineGenerateError

        from vllm import SamplingParams

        constraint = None if grammar is None else StructuredOutputsParams(grammar=grammar)
        try:
            outputs = self._llm.generate(
                tokens_input(list(tokens), cache_salt=cache_salt or None),
                SamplingParams(
                    **parameters, structured_outputs=constraint, output_kind=RequestOutputKind.DELTA
                ),
                id,
                priority=priority,
                lora_request=self._lora_requests[adapter] if adapter else None,
            )
            async for output in outputs:
                yield output
        except VLLMClientError as error:
            raise InvalidRequest(str(error)) from error
        except GracefulHTTPError as error:  # its queue is full
            raise Overloaded(str(error)) from error
        except (EngineGenerateError, ValueError) as error:
            raise GenerationFailed(f"vLLM could not generate the answer: {error}") from error

    def shutdown(self, timeout_s: float) -> None:
        """End the engine's processes."""
        self._llm.shutdown(timeout_s)


def reason_of(error: Exception) -> str:
    """What an error says about a model, without what pydantic puts around it, and without advice on how to
    install Transformers."""
    if isinstance(error, ValueError) and callable(errors := getattr(error, "errors", None)):
        reasons = [str(one["msg"]).removeprefix("Value error, ") for one in errors()]
    else:
        reasons = [str(error)]
    return "; ".join(reason.strip().split("\n\n")[0] for reason in reasons)


def _info(config: Any, version: str, device: str) -> ModelInfo:
    model, cache, scheduler, parallel = (
        config.model_config,
        config.cache_config,
        config.scheduler_config,
        config.parallel_config,
    )
    parts = (
        f"vllm {version}",
        device,
        str(model.dtype).removeprefix("torch."),
        model.quantization or "unquantized",
        f"kv {cache.cache_dtype}",
        f"parallel {parallel.tensor_parallel_size}x{parallel.pipeline_parallel_size}",
        "not batch-invariant",
    )
    return ModelInfo(
        engine="vllm",
        architecture=str(model.hf_text_config.model_type),
        vocab_size=model.get_vocab_size(),
        context_tokens=model.max_model_len,
        kv_tokens=max(0, (cache.num_gpu_blocks or 0) - 1) * cache.block_size,  # it keeps one for itself
        max_sequences=scheduler.max_num_seqs,
        arithmetic=", ".join(parts),
    )
