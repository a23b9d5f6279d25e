import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.int32]
_Words = npt.NDArray[np.uint32]

def instruction_sets() -> list[str]:
    """Those that this machine can run, best first."""

class Threads:
    """Threads for one call at a time, each with scratch memory that lasts."""

    def __init__(self, count: int) -> None: ...

def sample(
    logits: _Floats,
    row: _Ints,
    temperature: _Floats,
    top_p: _Floats,
    top_k: _Ints,
    min_p: _Floats,
    repetition_penalty: _Floats,
    presence_penalty: _Floats,
    frequency_penalty: _Floats,
    seed: npt.NDArray[np.uint64],
    choice: _Words,
    position: _Words,
    num_logprobs: _Ints,
    count_offsets: _Ints | None,
    count_tokens: _Ints | None,
    count_values: _Ints | None,
    prompt_offsets: _Ints | None,
    prompt_tokens: _Ints | None,
    prompt_row: _Ints | None,
    bias_offsets: _Ints | None,
    bias_tokens: _Ints | None,
    bias_values: _Floats | None,
    bias_row: _Ints | None,
    mask_row: _Ints | None,
    masks: _Words | None,
    tokens: _Ints,
    status: npt.NDArray[np.uint8],
    logprobs: _Floats,
    top_tokens: _Ints,
    top_logprobs: _Floats,
    instruction_set: str = "",
    threads: Threads | None = None,
) -> None:
    """See `myna.decoding.sampling.sample`; fills the five arrays before the last two."""

def score(
    logits: _Floats,
    targets: _Ints,
    tokens: _Ints,
    status: npt.NDArray[np.uint8],
    logprobs: _Floats,
    top_tokens: _Ints,
    top_logprobs: _Floats,
    instruction_set: str = "",
    threads: Threads | None = None,
) -> None:
    """See `myna.decoding.sampling.score`; fills the five arrays before the last two."""
