"""The replicas of a model as Ray Serve has them. Everything goes over Serve's gRPC transport."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from ray import serve

from myna.core.requests import ModelRequest
from myna.fleet.messages import ANSWER_S, LOOK_S, Description, decode_description
from myna.fleet.model_head import ModelHead, decode_head
from myna.fleet.on_ray.deployment import APP_PREFIX, DEPLOYMENT
from myna.fleet.on_ray.replica_choice import ReplicaChoice
from myna.fleet.on_ray.router import pinned, session_id
from myna.fleet.replicas import LinkStream, NotAnswering

_encoder: Final = msgspec.msgpack.Encoder()


class _Chosen:
    """A place that Ray holds for one request."""

    def __init__(self, handle: Any, selection: Any) -> None:
        self._handle = handle
        self._selection = selection
        self.replica: str = selection.replica_id
        self.node: str = selection.node_ip

    async def run(self, server: str, number: int, request: ModelRequest, session: str) -> None:
        data = _encoder.encode(request)
        response = self._handle.dispatch(self._selection, server, number, data, session)
        try:
            await response
        except asyncio.CancelledError:
            response.cancel()
            raise


class RayReplicas:
    """A `fleet.replicas.Replicas`. The constructor calls Ray's controller, which blocks."""

    def __init__(self, model: str) -> None:
        handle = serve.get_deployment_handle(DEPLOYMENT, APP_PREFIX + model)
        # A network's `kill -9` and cuts are noticed at once by gRPC; Ray's own calls hang for seconds.
        self._handle = handle.options(_by_reference=False)
        self._leaving: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def choose(self, session: str, avoided: Sequence[str], last_replica: str) -> AsyncIterator[_Chosen]:
        handle = self._handle.options(
            method_name="run", session_id=session_id(session, last_replica, avoided)
        )
        choice = ReplicaChoice()
        place = handle.choose_replica(choice)
        selection = await _answered(asyncio.create_task(place.__aenter__()), choice)
        try:
            yield _Chosen(handle, selection)
        finally:  # in a task of its own, since a replica that hangs doesn't answer that either
            leaving = asyncio.create_task(place.__aexit__(None, None, None))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    def link(self, replica: str, server: str) -> LinkStream:
        handle = self._handle.options(method_name="link", session_id=pinned(replica), stream=True)
        stream: LinkStream = handle.remote(server)
        return stream

    async def describe(self) -> Description:
        return decode_description(await self._handle.describe.remote())

    async def head(self) -> ModelHead:
        return decode_head(await self._handle.head.remote())

    async def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        tokens: list[int] = await self._handle.tokenize.remote(text, parse_special)
        return tokens


async def _answered(choosing: asyncio.Task[Any], choice: ReplicaChoice) -> Any:
    """Wait as long as there is no replica, but not for one that doesn't answer."""
    try:
        while not choosing.done():
            await asyncio.wait((choosing,), timeout=LOOK_S)
            if not choosing.done() and choice.replica and time.monotonic() - choice.chosen_at > ANSWER_S:
                raise NotAnswering(choice.replica, choice.node)
        return choosing.result()
    finally:
        choosing.cancel()
