"""Entries of log-probabilities as an answer keeps them."""

import gc
import sys

import msgspec

from myna.core.events import TextDelta, TokenLogprob
from myna.generation.answer import Answer
from myna.generation.logprobs import PackedLogprobs

NUM_TOKENS = 500
TOP = tuple((token, -0.5 - token, b"token %d" % token) for token in range(20))
DELTA = TextDelta(0, "x", 1, (TokenLogprob(5, None, b"\xe4", TOP),))


def test_entries_come_out_as_they_went_in() -> None:
    entries = [TokenLogprob(token, -0.25 * token, b"%d" % token, TOP[:token]) for token in range(5)]
    packed = PackedLogprobs()
    packed.extend(entries)
    packed.extend(DELTA.logprobs)
    assert [*packed] == [*entries, *DELTA.logprobs]
    assert packed[1:3] == entries[1:3]
    assert packed[-1] == DELTA.logprobs[0]


def test_a_large_answer_is_few_objects() -> None:
    """To trace or free some 80 objects for each token of a large answer would hold up everybody."""
    answer = Answer(1, lambda: None)
    data, decode = msgspec.msgpack.encode(DELTA), msgspec.msgpack.Decoder(TextDelta).decode
    gc.collect()
    num_blocks, num_tracked = sys.getallocatedblocks(), len(gc.get_objects())
    for _ in range(NUM_TOKENS):
        answer.feed(decode(data))
    gc.collect()
    assert len(answer.choices[0].logprobs) == NUM_TOKENS
    assert len(gc.get_objects()) - num_tracked < NUM_TOKENS
    assert sys.getallocatedblocks() - num_blocks < 4 * NUM_TOKENS
