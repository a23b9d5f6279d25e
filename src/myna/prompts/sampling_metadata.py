"""The sampling defaults in a GGUF file, as llama.cpp writes them."""

from types import MappingProxyType
from typing import Final

from myna.core.sampling_defaults import SamplingDefaults, read_defaults
from myna.prompts.gguf import Header

# Other samplers that a file may name, such as mirostat, don't exist here.
_NAMES: Final = MappingProxyType(
    {
        "temp": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "min_p": "min_p",
        "penalty_repeat": "repetition_penalty",
    }
)


def file_defaults(header: Header) -> SamplingDefaults:
    """Values that no request could have are ignored."""
    found = SamplingDefaults()
    for key, name in _NAMES.items():
        value = header.metadata.get(f"general.sampling.{key}")
        if isinstance(value, float):
            value = float(f"{value:.7g}")  # the file has 32 bits of it: 0.7 is 0.699999988
        try:
            found = read_defaults({name: value}).over(found)
        except ValueError:
            continue
    return found
