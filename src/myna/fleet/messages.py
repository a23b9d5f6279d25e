"""What servers and replicas send each other, besides the frames of workers."""

from collections.abc import Iterator
from typing import Final

import msgspec

from myna.core.generator import ModelInfo
from myna.workers import frames
from myna.workers.frames import WorkerMessage

HEARTBEAT_S: Final = 0.5
"""How often a replica sends something over each of its links."""
LATE_S: Final = 1.0
"""After this time without anything, a replica gets no new requests if there is another."""
RESUME_S: Final = 2.0
"""After this time without anything, a link is dead whose requests can continue elsewhere with the same bits:
to be wrong costs them little."""
SILENCE_S: Final = 3.0
"""After this time without anything, any other link is dead: its streams end with an error."""
LOOK_S: Final = HEARTBEAT_S / 4
"""How often a server looks at what it has heard, so how much later than it could it notices a death."""
ANSWER_S: Final = 2.0
"""For that long, a replica may take to say whether it has a place for a request."""


class Description(msgspec.Struct, frozen=True):
    """What a replica runs. `node` is its machine's address, `weights` the hash of the model's files ("" for
    the fake engine, which has none). `identity` is not empty if the same request gives the same answer on
    every replica with that identity."""

    replica: str
    node: str
    info: ModelInfo
    weights: str
    identity: str


class LinkItem(msgspec.Struct, frozen=True, array_like=True):
    """What a link's stream carries after the description: complete frames, and sessions that began to run at
    the replica."""

    frames: bytes
    sessions: list[str] = []


_encoder: Final = msgspec.msgpack.Encoder()
_items: Final = msgspec.msgpack.Decoder(LinkItem)
_decoder: Final = msgspec.msgpack.Decoder(Description)


def encode_description(description: Description) -> bytes:
    return _encoder.encode(description)


def decode_description(data: bytes) -> Description:
    return _decoder.decode(data)


def encode_item(item: LinkItem) -> bytes:
    return _encoder.encode(item)


def decode_item(data: bytes) -> tuple[Iterator[WorkerMessage], list[str]]:
    """The messages and the sessions of an item. Raises ValueError."""
    item = _items.decode(data)
    return map(frames.decode_message, frames.FrameSplitter().feed(item.frames)), item.sessions
