"""Reads gpt-oss's harmony format: an answer of several messages, each in a channel.

A message is `<|start|>assistant<|channel|>NAME<|message|>TEXT<|end|>`, possibly with a recipient in its
header; the prompt ends behind the first `<|start|>assistant`. Analysis is thought, all else is the answer.
A call of a function is left in the answer, always with the same header (`CALL_HEAD`), for the call format to
read.
"""

import re
from typing import Final

from myna.core.harmony import CALL_END, CALL_HEAD, FUNCTIONS, MESSAGE
from myna.core.overlap import overlap
from myna.decoding.token_classifier import WHITE, ByteKind, ThoughtDecoder, TokenClassifier

_MESSAGE: Final = MESSAGE.encode()
_MARKS: Final = (
    b"<|start|>", b"<|channel|>", b"<|constrain|>", _MESSAGE, b"<|end|>", b"<|call|>", b"<|return|>",
)  # fmt: skip
_MARK: Final = re.compile(b"|".join(map(re.escape, _MARKS)))
# What may follow `<|start|>assistant` or the end of a message.
_HEADS: Final = (b"<|start|>", b"<|channel|>", b"<|constrain|>", _MESSAGE, b"to=")
_CHANNEL: Final = re.compile(rb"<\|channel\|>\s*([A-Za-z]*)")
_RECIPIENT: Final = re.compile(rb"to=\s*([^\s<]+)")
_FUNCTION: Final = FUNCTIONS.encode()
_LONGEST_HEAD: Final = 512


class HarmonyText:
    """`has_calls`: a call of a function belongs to the answer; otherwise, like one of anything else, to the
    thoughts."""

    __slots__ = (
        "_decoder",
        "_has_answer",
        "_has_calls",
        "_in_body",
        "_is_call",
        "_kind",
        "_prefix",
        "classifier",
    )

    def __init__(self, *, has_calls: bool) -> None:
        self.classifier = TokenClassifier()
        self._decoder = ThoughtDecoder()
        self._has_calls = has_calls
        self._in_body = self._has_answer = self._is_call = False
        self._kind: ByteKind = "answer"
        self._prefix = b""  # shown with the next part of the answer

    @property
    def is_over(self) -> bool:
        """A thought may follow at any time."""
        return False

    def push(self, data: bytes) -> str:
        self.classifier.add(data)
        shown, goes_on = "", True
        while goes_on:
            text, goes_on = self._read_body() if self._in_body else self._read_head()
            shown += text
        return shown

    def finish(self) -> str:
        """A mark or a header that was cut short is not shown."""
        shown = ""
        if self._in_body:
            shown = self._add(self._num_ready()) + self._end_body()
        self.classifier.decide(len(self.classifier.held), "markup")
        return shown

    def _read_head(self) -> tuple[str, bool]:
        """Read up to the message's text. Returns the thought to show, and whether there may be more."""
        held = self.classifier.held
        text = held.lstrip(WHITE)
        if not any(text.startswith(head) or head.startswith(text) for head in _HEADS):
            self._begin_body("answer", 0)  # the model leaves out the header
            return "", True
        at = held.find(_MESSAGE)
        if at >= 0:
            self._begin_message(held[:at], at + len(_MESSAGE))
        elif len(held) > _LONGEST_HEAD:
            channel = _CHANNEL.search(held)
            self._begin_body("answer", channel.end() if channel else 0)
        return "", self._in_body

    def _begin_message(self, head: bytes, num_bytes: int) -> None:
        channel, recipient = _CHANNEL.search(head), _RECIPIENT.search(head)
        name = recipient[1] if recipient else b""
        if self._has_calls and name.startswith(_FUNCTION):
            self._begin_body("answer", num_bytes)
            self._is_call = True
            self._prefix += CALL_HEAD.encode() + name.removeprefix(_FUNCTION) + _MESSAGE
        elif name not in (b"", b"user") or (channel and channel[1] == b"analysis"):
            self._begin_body("thought", num_bytes)
        else:
            self._begin_body("answer", num_bytes)
            self._prefix += b"\n" if self._has_answer else b""

    def _begin_body(self, kind: ByteKind, num_bytes: int) -> None:
        self.classifier.decide(num_bytes, "thought" if kind == "thought" else "markup")
        self._in_body, self._kind = True, kind

    def _read_body(self) -> tuple[str, bool]:
        """Read the message's text up to a mark. Returns the thought to show, and whether there may be
        more."""
        held = self.classifier.held
        found = _MARK.search(held)
        if found is None:
            return self._add(self._num_ready()), False
        shown, mark = self._add(found.start()), found[0]
        kind: ByteKind = "thought" if self._kind == "thought" else "markup"
        self.classifier.decide(len(self.classifier.held) - len(held) + found.start(), kind)  # white space
        if mark in (_MESSAGE, b"<|constrain|>"):
            self.classifier.decide(len(mark), kind)
            return shown, True
        shown += self._end_body()
        if mark not in (b"<|start|>", b"<|channel|>"):
            self.classifier.decide(len(mark), kind)
        return shown, True

    def _num_ready(self) -> int:
        """The bytes that can't become a mark."""
        held = self.classifier.held
        return len(held) - max(overlap(held, mark) for mark in _MARKS)

    def _add(self, num_bytes: int) -> str:
        """Decide the message's next bytes, except white space at the end of a thought."""
        if self._kind == "thought":
            num_bytes = len(self.classifier.held[:num_bytes].rstrip(WHITE))
            return self._decoder.show(self.classifier.decide(num_bytes, "thought"))
        if num_bytes:
            self.classifier.decide(num_bytes, "answer", self._prefix)
            self._prefix = b""
            self._has_answer |= not self._is_call
        return ""

    def _end_body(self) -> str:
        self._prefix = CALL_END.encode() if self._is_call else b""
        self._in_body = self._is_call = False
        return self._decoder.show(b"", is_last=True) if self._kind == "thought" else ""
