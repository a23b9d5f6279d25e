"""The interface between a `WorkerClient` and what runs its requests: a process of its own, or a fleet."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from myna.core.generator import ModelInfo
from myna.workers.frames import Command, WorkerMessage


class Interrupted(NamedTuple):
    """What ran these requests is gone, while the connection remains. They may be sent again; those of which
    something was read only if `identity` is not empty: it names arithmetic and weights that give the same
    answer again, and they are sent again with it."""

    numbers: Sequence[int]
    identity: str


# Receives every frame except those about loading and pongs, in the event loop.
OnMessage = Callable[[WorkerMessage | Interrupted], None]


class Connection(Protocol):
    """`start` it, then `send` commands. `gone` is done when it has ended, with all requests that were sent to
    it; it is then closed, and another one is started."""

    gone: asyncio.Future[None]

    @property
    def is_answering(self) -> bool:
        """Whether a request sent now is likely to be answered."""
        ...

    @property
    def pid(self) -> int | None:
        """The id of its process on this machine, if it has one."""
        ...

    async def start(self) -> ModelInfo:
        """Wait until the model is loaded. Raises `ModelLoadFailed`."""
        ...

    def send(self, command: Command) -> None:
        """Queue a command; it is lost if the connection is `gone`."""
        ...

    async def close(self) -> str:
        """End it, and return how it ended. Idempotent."""
        ...


Connect = Callable[[OnMessage], Connection]
