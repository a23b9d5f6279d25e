"""Parts that come faster than a model's tokens are gathered; nothing else waits."""

from collections.abc import Sequence

import pytest

from myna.backends.remote import stream
from myna.backends.remote.answers import AnswerReader
from myna.backends.remote.stream import RelayedStream

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
FAST_S, SLOW_S = 0.0001, 0.0005


class PacedResponse:
    """A `Response` whose parts come after these times. It notes how many it had read whenever it was told to
    gather; the next part then has several events."""

    def __init__(self, waits_s: Sequence[float], num_gathered: int) -> None:
        self._waits_s = list(waits_s)
        self._num_gathered = num_gathered
        self._num_events = 1
        self.now_s = 0.0
        self.num_read = 0
        self.gathered: list[int] = []

    async def read(self) -> bytes:
        if not self._waits_s:
            return b"data: [DONE]\n\n"
        self.now_s += self._waits_s.pop(0)
        self.num_read += 1
        num_events, self._num_events = self._num_events, 1
        return EVENT * num_events

    async def gather(self, pause_s: float) -> None:
        self.gathered.append(self.num_read)
        self._num_events = self._num_gathered

    def skip_to_end(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing is connected."""


async def gathered(monkeypatch: pytest.MonkeyPatch, *waits_s: float, num_gathered: int = 4) -> list[int]:
    response = PacedResponse(waits_s, num_gathered)
    monkeypatch.setattr(stream, "perf_counter", lambda: response.now_s)
    relayed = RelayedStream(
        response,  # type: ignore[arg-type]
        AnswerReader("far"),
        is_stream=True,
        timeout_s=60,
        on_close=lambda failure: None,
    )
    events = [event async for event in relayed]
    await relayed.aclose()
    assert len(events) >= len(waits_s)
    return response.gathered


async def test_many_fast_parts_in_a_row_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await gathered(monkeypatch, *[FAST_S] * 11) == [8, 9, 10, 11]


async def test_a_models_tokens_and_the_end_of_a_stream_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await gathered(monkeypatch, *[SLOW_S] * 30) == []
    assert await gathered(monkeypatch, *([SLOW_S] * 10 + [FAST_S] * 3)) == []


async def test_parts_of_several_events_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.backends.test_remote_dense.EVENT", EVENT * 4)
    assert await gathered(monkeypatch, *[FAST_S] * 30) == []


async def test_a_slow_part_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await gathered(monkeypatch, *[FAST_S] * 9, SLOW_S, *[FAST_S] * 5) == [8, 9]


async def test_pauses_that_gather_little_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_WITHOUT", 128)
    assert await gathered(monkeypatch, *[FAST_S] * 300, num_gathered=3) == [8, 8 + 1 + 128 + 8, 8 + 2 * 137]
