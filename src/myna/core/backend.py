"""What runs models, seen from above: what a model is before it is loaded, what its load takes, what it gives.

A backend is a row of `backends.table`. `catalog`, doctor, metrics and settings know backends by this alone.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from myna.core.finding import Findings
from myna.core.generator import Generator, RunningModel
from myna.core.ledger import Price
from myna.core.relay import Relay
from myna.core.renderer import Renderer


class ModelSpec(Protocol):
    """A model that could be served. Where it is found (a file, a folder, a URL) is a matter of its type,
    which the backend that accepts it knows. Compared by value: another value under the same id is another
    model, which is loaded anew. `created` is in Unix seconds. `is_relayed`: it will be loaded to a relay, so
    that its requests are for another server to read."""

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
    """A `ModelSpec` of files on this machine. `path` is a file, the first shard of a split one, or a
    folder; `num_bytes` all files' size. `source` says where it came from: `file` is the user's own."""

    id: str
    path: Path
    owned_by: str
    created: int
    num_bytes: int
    source: str

    @property
    def is_relayed(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What a model will need of this machine's memory besides its process: the weights, and the KV cache
    by token. `context_tokens` is the longest that it was trained for."""

    weights_bytes: int
    kv_token_bytes: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Either a `generator` with the `renderer` of the same model, or a `relay`.

    `weights` identifies the bytes of the weights, if known. `held_bytes` returns the memory of this machine
    that the model holds now, `is_dead` whether it will never answer again and should be loaded anew.
    """

    generator: Generator | None = None
    renderer: Renderer | None = None
    relay: Relay | None = None
    weights: str = ""
    held_bytes: Callable[[], int] = int
    is_dead: Callable[[], bool] = bool

    def __post_init__(self) -> None:
        assert (self.generator is None) == (self.renderer is None) != (self.relay is None)

    @property
    def running(self) -> RunningModel:
        """What it is, its health, its load, and how it is unloaded."""
        running = self.generator or self.relay
        assert running is not None
        return running


class Candidate(Protocol):
    """A model that was looked at and found sound, and that takes no memory yet."""

    @property
    def size(self) -> ModelSize | None:
        """None for a model that takes none of this machine's memory: no other is unloaded for it."""
        ...

    async def load(self, kv_bytes: int) -> LoadedModel:
        """With at most that much KV cache. Raises `ModelLoadFailed`."""
        ...


# Looks at a model. Raises `ModelLoadFailed` for what can be seen to fail before any memory is taken.
Prepare = Callable[[ModelSpec], Awaitable[Candidate]]


@dataclass(frozen=True, slots=True)
class Section:
    """A backend's own table of myna.toml, as it was written: the backend reads it. Relative paths in it start
    from `folder`."""

    values: Mapping[str, object]
    folder: Path


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """What backends are given of the settings; 0 is unset. `engine` is `auto` or one of the table's names.
    `section` is the value of the backend's own setting, None if it has none or it is not set."""

    home: Path
    engine: str = "auto"
    context_tokens: int = 0
    memory_bytes: int = 0
    threads: int = 0
    max_queue: int = 256
    max_queue_tokens: int = 4_000_000
    section: object = None


class Backend(Protocol):
    """One way of running models. Its constructor does no I/O, needs no event loop, and raises
    `ConfigurationError` for options that make no sense. The asynchronous methods and `change` are for one
    event loop; the others may be called from anywhere."""

    def accepts(self, model: ModelSpec) -> bool:
        """Whether it runs models of that kind, at once; whether it can run this one, `prepare` says."""
        ...

    async def prepare(self, model: ModelSpec) -> Candidate:
        """Look at a model that it accepts. Raises `ModelLoadFailed`."""
        ...

    def check(self) -> None:
        """Raises `ConfigurationError`, with what to install, if what the options ask for is not here."""
        ...

    def findings(self) -> Findings:
        """For `myna doctor`: what is installed, in which version, and how to install what is not. May ask
        other machines, for a few seconds."""
        ...

    def announced(self) -> tuple[ModelSpec, ...]:
        """The models that it offers of its own accord, as known now: at once, for every request. Models on
        this machine's disk are not among them."""
        ...

    def may_announce(self, model: str) -> bool:
        """Whether a model of that id is announced now or may be later, so that aliases can stand for it."""
        ...

    def price(self, model: str) -> Price | None:
        """What the backend's own setting says that this model's tokens cost, if anything."""
        ...

    async def start(self) -> None:
        """Begin what runs beside the requests, such as keeping `announced` true. Does not wait for it."""
        ...

    def change(self, options: BackendOptions) -> None:
        """Other options, from now on; without its own setting, it announces and accepts nothing. Models
        that are loaded keep what they were loaded with."""
        ...

    async def aclose(self) -> None:
        """End what `start` began; every model is unloaded by then. Idempotent."""
        ...
