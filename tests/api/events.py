"""Event streams for tests of the two endings, by hand."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import orjson

from myna.core.events import Event


class Renderer(Protocol):
    def feed(self, event: Event) -> bytes | Iterator[bytes]: ...

    def end(self) -> bytes: ...


def chunks(renderer: Renderer, events: Sequence[Event]) -> list[dict[str, Any]]:
    """The stream's chunks, parsed; asserts the framing."""
    data = b"".join([*(rendered(renderer, event) for event in events), renderer.end()])
    lines = data.split(b"\n\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"data: ") and b"\n" not in line for line in lines)
    return [orjson.loads(line.removeprefix(b"data: ")) for line in lines]


def rendered(renderer: Renderer, event: Event) -> bytes:
    """What the event becomes, also where it is rendered piece by piece."""
    data = renderer.feed(event)
    return data if isinstance(data, bytes) else b"".join(data)
