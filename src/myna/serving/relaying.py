"""The two endings of a relayed answer: the bytes that the upstream sent, as they came."""

from myna.core.events import Event, WireChunk


class RelayedChunks:
    """A `streaming.ChunkRenderer`: the upstream's own server-sent events."""

    def feed(self, event: Event) -> bytes:
        return event.data if type(event) is WireChunk else b""

    def end(self) -> bytes:
        return b""


class RelayedBody:
    """A `streaming.AnswerBuilder`: the upstream's own body."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, event: Event) -> None:
        if type(event) is WireChunk:
            self._parts.append(event.data)

    def body(self) -> bytes:
        return b"".join(self._parts)
