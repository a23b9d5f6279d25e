"""Which bytes of a choice's tokens are its answer, decided token by token, in order."""

from codecs import getincrementaldecoder
from collections import deque
from typing import Final, Literal

ByteKind = Literal["answer", "thought", "markup"]
WHITE: Final = b" \t\r\n"


class TokenClassifier:
    """The bytes that have not been decided yet, and the tokens that they come from.

    `decided` is the answer's part of each token decided since it was last taken, None for a token without
    one. `num_thought_tokens` counts those with a part of a thought, its marks included.
    """

    __slots__ = ("_is_split", "_is_thought", "_part", "_sizes", "decided", "held", "num_thought_tokens")

    def __init__(self) -> None:
        self.held = b""
        self.decided: list[bytes | None] = []
        self.num_thought_tokens = 0
        self._sizes = deque[int]()  # of the undecided tokens, without the bytes already decided
        # The first undecided token, if a part of it is decided: its answer, and whether it has a thought.
        self._part: bytes | None = None
        self._is_thought = self._is_split = False

    def add(self, data: bytes) -> None:
        """The next token's bytes."""
        self.held += data
        self._sizes.append(len(data))

    def take(self) -> list[bytes | None]:
        """`decided`, once."""
        decided, self.decided = self.decided, []
        return decided

    def decide(self, num_bytes: int, kind: ByteKind, shown: bytes = b"") -> bytes:
        """Decide the first undecided bytes and return them. `shown` is shown before them, if they are the
        answer's."""
        data, self.held = self.held[:num_bytes], self.held[num_bytes:]
        at = 0
        while self._sizes and (at < len(data) or not self._sizes[0]):
            part = data[at : at + self._sizes[0]]
            at += len(part)
            self._sizes[0] -= len(part)
            self._is_split = True
            if kind == "answer":
                self._part = (self._part or b"") + shown + part
                shown = b""
            self._is_thought |= kind == "thought"
            if not self._sizes[0]:
                self._finish_token()
        return data

    def drop_rest_of_token(self) -> None:
        """Decide that what is left of a token that is decided in part belongs to the thought."""
        if self._is_split:
            self.decide(self._sizes[0], "thought")

    def _finish_token(self) -> None:
        self._sizes.popleft()
        self.decided.append(self._part)
        self.num_thought_tokens += self._is_thought
        self._part, self._is_thought, self._is_split = None, False, False


class ThoughtDecoder:
    """Decodes the bytes of thoughts; drops white space around each."""

    __slots__ = ("_decoder", "_has_any", "_has_shown")

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._has_shown = self._has_any = False

    def show(self, data: bytes, *, is_last: bool = False) -> str:
        """The text of the thought's next bytes; `is_last` ends it. Thoughts are shown a line apart."""
        if not self._has_shown:
            data = data.lstrip(WHITE)
            self._has_shown = bool(data)
            if data and self._has_any:
                data = b"\n" + data
            self._has_any |= self._has_shown
        if is_last:
            self._has_shown = False
        return self._decoder.decode(data, final=is_last)
