"""The interface to the replicas of a model: Ray Serve's, or the tests' own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from myna.core.requests import ModelRequest
from myna.fleet.messages import Description


class NotAnswering(Exception):
    """The replica that was chosen doesn't say whether it has a place: it hangs, or the network is cut."""

    def __init__(self, replica: str, node: str) -> None:
        super().__init__(f"the replica {replica} doesn't answer")
        self.replica = replica
        self.node = node


class LinkStream(Protocol):
    """`Replica.link`. `cancel` ends it, also while it is silent."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def cancel(self) -> None: ...


class ReservedReplica(Protocol):
    """A replica that holds a place for one request."""

    @property
    def replica(self) -> str: ...

    @property
    def node(self) -> str:
        """Its machine's address."""
        ...

    async def run(self, server: str, number: int, request: ModelRequest, session: str) -> None:
        """`Replica.run`. When it is cancelled, so is the request."""
        ...


class Replicas(Protocol):
    """The replicas of one model. Everything raises an exception of its own kind when a replica is gone."""

    def choose(
        self, session: str, avoided: Sequence[str], last_replica: str
    ) -> AbstractAsyncContextManager[ReservedReplica]:
        """Wait for a place at the replica that suits the session best; it last ran at `last_replica`. The
        `avoided` are replicas, and addresses of machines, to use only if there are no others. Raises
        `NotAnswering`."""
        ...

    def link(self, replica: str, server: str) -> LinkStream:
        """Open that replica's link."""
        ...

    async def describe(self) -> Description:
        """What any of them runs, as soon as there is one."""
        ...

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """By any replica."""
        ...
