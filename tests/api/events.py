"""Event streams for tests of the two endings, by hand."""

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from myna.core.events import Event


class Renderer(Protocol):
    def feed(self, event: Event) -> bytes: ...

    def end(self) -> bytes: ...


def chunks(renderer: Renderer, events: Sequence[Event]) -> list[dict[str, Any]]:
    """The stream's chunks, parsed; asserts the framing."""
    data = b"".join([*(renderer.feed(event) for event in events), renderer.end()])
    lines = data.split(b"\n\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"data: ") and b"\n" not in line for line in lines)
    return [orjson.loads(line.removeprefix(b"data: ")) for line in lines]
