"""The interface of backends, which run models: what a model is before loading, what it needs, and what it
becomes.

A backend is a row of `backends.table`. `catalog`, doctor, metrics and settings only know backends through
this."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from myna.core.embedder import Embedder, TextEncoder
from myna.core.finding import Findings
from myna.core.generator import Generator, RunningModel
from myna.core.ledger import Price
from myna.core.relay import Relay
from myna.core.renderer import Renderer
from myna.core.sampling_defaults import NO_DEFAULTS, SamplingDefaults
from myna.core.translatable import Translatable

# How the KV cache stores numbers, and how many bytes each takes: as 16-bit floats, or as 8-bit integers of
# which 32 share a 16-bit scale.
KV_CACHE_TYPES: Final = {"auto": 2.0, "q8_0": 34 / 32}


class ModelSpec(Protocol):
    """A model that can be served. Its location (a file, a folder, a URL) depends on its type, which the
    accepting backend knows. Compared by value: a different value with the same id is another model and is
    loaded again. `created` is in Unix seconds. `is_relayed`: its requests are passed on to another server,
    which parses them."""

    @property
    def id(self) -> str: ...

    @property
    def owned_by(self) -> str: ...

    @property
    def created(self) -> int: ...

    @property
    def is_relayed(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A `ModelSpec` of files on this machine. `path` is a file, the first shard of a split model, or a
    folder; `num_bytes` is the size of all files. `source` is where the files came from; `file` means the
    user's own. `draft` is a smaller model that proposes tokens to this one (speculative decoding)."""

    id: str
    path: Path
    owned_by: str
    created: int
    num_bytes: int
    source: str
    draft: "LocalModel | None" = None

    @property
    def is_relayed(self) -> bool:
        return False


def without_path(model: LocalModel, reason: str | Translatable) -> str | Translatable:
    """The reason for clients, who know the model by its id: without the place of its file."""
    for old, new in ((str(model.path), repr(model.id)), (f"{model.path.parent}/", "")):
        reason = reason.replace(old, new) if isinstance(reason, str) else reason.replaced(old, new)
    return reason if model.draft is None else without_path(model.draft, reason)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The memory of this machine that a model will need: the weights, the KV cache per token, each state of
    its recurrent layers, and what its process takes besides (0: as much as usual). `context_tokens` is the
    context length that it was trained with."""

    weights_bytes: int
    kv_token_bytes: int
    context_tokens: int
    state_bytes: int = 0
    process_bytes: int = 0

    def cache_bytes(self, kv_tokens: int, states: int) -> int:
        return kv_tokens * self.kv_token_bytes + states * self.state_bytes


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A `generator` and the `renderer` of the same model, or an `embedder` and its `texts`, or a `relay`.

    `weights` identifies the bytes of the weights, if known. `sampling` are the defaults in the model's own
    files. `held_bytes` returns the memory of this machine
    that the model uses now, `is_dead` whether it has failed permanently and must be loaded again."""

    generator: Generator | None = None
    renderer: Renderer | None = None
    relay: Relay | None = None
    embedder: Embedder | None = None
    texts: TextEncoder | None = None
    weights: str = ""
    sampling: SamplingDefaults = NO_DEFAULTS
    held_bytes: Callable[[], int] = int
    is_dead: Callable[[], bool] = bool

    def __post_init__(self) -> None:
        assert (self.generator is None) == (self.renderer is None)
        assert (self.embedder is None) == (self.texts is None)
        assert [self.generator, self.embedder, self.relay].count(None) == 2

    @property
    def running(self) -> RunningModel:
        """The generator, the embedder or the relay."""
        running = self.generator or self.embedder or self.relay
        assert running is not None
        return running


class Candidate(Protocol):
    """A model that was checked and can be loaded. It takes no memory yet."""

    @property
    def size(self) -> ModelSize | None:
        """None for a model that needs no memory of this machine, so that no other is unloaded for it."""
        ...

    async def load(self, kv_bytes: int) -> LoadedModel:
        """Load the model, with a KV cache of at most `kv_bytes`. Raises `ModelLoadFailed`."""
        ...


# Checks a model. Raises `ModelLoadFailed` for errors that can be found before memory is allocated.
Prepare = Callable[[ModelSpec], Awaitable[Candidate]]


@dataclass(frozen=True, slots=True)
class Section:
    """A backend's own table of myna.toml, unparsed: the backend interprets it. Relative paths in it are
    relative to `folder`."""

    values: Mapping[str, object]
    folder: Path


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """The settings that backends get; 0 means unset. `engine` is `auto` or a name of the table.
    `chat_templates` are files by model that replace the models' own templates, `engine_options` what is
    passed on to an engine as it is, by model, `adapters` the folders of its LoRA adapters by their names.
    `kv_cache_types` are those of models that don't have `kv_cache_type`. `section` is the value of the
    backend's own setting, or None if it has none or it is not set."""

    home: Path
    engine: str = "auto"
    context_tokens: int = 0
    memory_bytes: int = 0
    threads: int = 0
    max_queue: int = 256
    max_queue_tokens: int = 4_000_000
    chat_templates: Mapping[str, Path] = field(default_factory=dict)
    engine_options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    prefix_cache_bytes: int = 0
    adapters: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    kv_cache_type: str = "auto"
    kv_cache_types: Mapping[str, str] = field(default_factory=dict)
    section: object = None

    def kv_cache_type_of(self, model: str) -> str:
        return self.kv_cache_types.get(model, self.kv_cache_type)


class Backend(Protocol):
    """One way to run models. Its constructor does no I/O, needs no event loop, and raises
    `ConfigurationError` for invalid options. The asynchronous methods and `change` must be called in one
    event loop; the others may be called from any thread."""

    def accepts(self, model: ModelSpec) -> bool:
        """Whether it runs models of that kind. Returns immediately; `prepare` checks the model itself."""
        ...

    async def prepare(self, model: ModelSpec) -> Candidate:
        """Check a model that it accepts. Raises `ModelLoadFailed`."""
        ...

    def check(self) -> None:
        """Raises `ConfigurationError`, saying what to install, if something that the options need is
        missing."""
        ...

    def findings(self) -> Findings:
        """For `myna doctor`: what is installed, its version, and how to install what is missing. May query
        other machines, for a few seconds."""
        ...

    def announced(self) -> tuple[ModelSpec, ...]:
        """The models that the backend itself provides, as known now, without those on this machine's disk.
        Called for every request, so it returns immediately."""
        ...

    def may_announce(self, model: str) -> bool:
        """Whether a model with that id is announced now or may be later, so that aliases can refer to it."""
        ...

    def embeds(self, model: ModelSpec) -> bool:
        """Whether a model that it accepts turns texts into vectors, as far as can be said at once; what
        `prepare` finds counts."""
        ...

    def price(self, model: str) -> Price | None:
        """The price of this model's tokens in the backend's own setting, if any."""
        ...

    async def start(self, first: ModelSpec | None = None) -> None:
        """Start background work, such as keeping `announced` up to date. Does not wait for it. `first` is a
        model that it accepts and that will be loaded right after this."""
        ...

    def change(self, options: BackendOptions) -> None:
        """Change the options. Without its own setting, the backend announces and accepts nothing. Loaded
        models keep the options that they were loaded with."""
        ...

    async def aclose(self) -> None:
        """Stop what `start` started, after all models were unloaded. Idempotent."""
        ...
