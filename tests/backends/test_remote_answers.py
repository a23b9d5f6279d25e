"""What is passed on of an upstream's events doesn't depend on how they arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.backends.remote.answers import AnswerReader, MessagesReader

WORD = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
EVENTS = (
    WORD,
    WORD,
    b'data: {"choices":[{"index":1,"text":"b","finish_reason":"length"}],"usage":null}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n',
    b'data: {"choices":"of another kind"}\n\n',
    b'data: {"type":"response.output_text.delta","delta":"c"}\n\n',
    b'event: response.completed\ndata: {"type":"response.completed","response":{}}\n\n',
    b": a comment\n\n",
    b'data: {"a":1,\ndata: "b":2}\n\n',
    b'data: {"a":"\xe4\xbd\xa0"}\r\n\r\n',
    b'data: {"a":1}{"b":2}\n\n',
    b'data: {"a":1}\n{"b":2}\n\n',
    b'data: {"a":[{}\n\ndata: {}]}\n\n',
    b"data: {} \n\n",
    b"data:\n\n",
    b"\n\n",
    b'data: {"error":{"message":"it broke"}}\n\n',
    b"data: {broken}\n\n",
    b"data: [DONE]\n\n",
)


def read(reader: AnswerReader, parts: list[bytes]) -> tuple[object, ...]:
    """Everything that a reader makes of a response in these parts."""
    fed = (reader.feed(part) for part in parts if reader.failure is None)
    chunks = [chunk for chunk in fed if chunk is not None]
    failure = None if reader.failure is None else reader.failure.message
    end = None if failure or not reader.is_done else reader.finish()
    num_tokens = sum(chunk.num_tokens for chunk in chunks)
    return b"".join(chunk.data for chunk in chunks), num_tokens, reader.is_done, failure, end


@given(
    st.lists(st.sampled_from(EVENTS), max_size=8),
    st.sampled_from(["", "own name"]),
    st.booleans(),
    st.sampled_from([AnswerReader, MessagesReader]),
)
def test_events_that_arrive_together_are_those_that_arrive_byte_by_byte(
    events: list[bytes], model: str, hides_usage: bool, kind: type[AnswerReader]
) -> None:
    sent = b"".join(events)
    slowly = read(kind("far", model=model, hides_usage=hides_usage), [bytes([byte]) for byte in sent])
    for parts in ([sent], events):
        assert read(kind("far", model=model, hides_usage=hides_usage), parts) == slowly


@pytest.mark.parametrize("num_events", [1, 5])
def test_plain_events_are_passed_on_as_they_are(num_events: int) -> None:
    data = WORD * num_events
    chunk = AnswerReader("far", hides_usage=True).feed(data)
    assert chunk is not None
    assert chunk.data is data
    assert chunk.num_tokens == num_events
