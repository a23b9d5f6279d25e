"""What of a request's answer was read, so that it can run again and continue where it broke off. Pure."""

from typing import Final

import msgspec

from myna.core.events import ChoiceDone, Event, TextDelta


class Diverged(Exception):
    """The second run gave another answer than the first."""


class _Choice:
    """What was read of one choice, and how much of that a rerun still has to repeat."""

    __slots__ = (
        "is_done",
        "num_logprobs",
        "num_tokens",
        "old_ids",
        "old_logprobs",
        "old_tokens",
        "owed",
        "owed_ids",
        "position",
        "text",
        "token_ids",
    )

    def __init__(self) -> None:
        self.text: list[str] = []
        self.token_ids: list[int] = []
        self.num_tokens = self.num_logprobs = 0
        self.is_done = False
        self.rewind()

    def rewind(self) -> None:
        self.text = ["".join(self.text)]  # the first is what was read before the rerun
        self.position = 0
        self.old_tokens, self.old_logprobs, self.owed = self.num_tokens, self.num_logprobs, 0
        self.old_ids, self.owed_ids = len(self.token_ids), list[int]()

    def new_tokens(self, count: int) -> int:
        """How many of the rerun's next `count` tokens weren't read before, with those held back until now."""
        repeated = min(count, self.old_tokens)
        self.old_tokens -= repeated
        self.owed += count - repeated
        return self.owed

    def new_ids(self, token_ids: tuple[int, ...]) -> tuple[int, ...]:
        """Of the rerun's next ids those that weren't read before, with those held back until now."""
        repeated = min(len(token_ids), self.old_ids)
        self.old_ids -= repeated
        self.owed_ids += token_ids[repeated:]
        return tuple(self.owed_ids)

    def new_text(self, text: str) -> str:
        """The part of the rerun's next text that wasn't read before."""
        old = self.text[0]
        repeated = min(len(text), len(old) - self.position)
        if not old.startswith(text[:repeated], self.position):
            raise Diverged
        self.position += repeated
        return text[repeated:]


class SentEvents:
    """`note` every event that is read; after a `rewind`, `rest` removes from the rerun's events what was read
    of the first run. The events of both runs may be cut differently."""

    __slots__ = ("_choices",)

    def __init__(self) -> None:
        self._choices: Final[dict[int, _Choice]] = {}

    def note(self, event: Event) -> None:
        if type(event) is TextDelta:
            choice = self._of(event.choice)
            choice.text.append(event.text)
            choice.num_tokens += event.num_tokens
            choice.num_logprobs += len(event.logprobs)
            choice.token_ids += event.token_ids
        elif type(event) is ChoiceDone:
            choice = self._of(event.choice)
            choice.is_done = True
            choice.token_ids += event.token_ids

    def rewind(self) -> None:
        for choice in self._choices.values():
            choice.rewind()

    def token_ids(self) -> tuple[tuple[int, ...], ...]:
        """By choice, the tokens with which a rerun may begin (`GenerationRequest.output_token_ids`)."""
        choices, none = self._choices, _Choice()
        return tuple(tuple(choices.get(i, none).token_ids) for i in range(max(choices, default=-1) + 1))

    def rest(self, event: Event) -> Event | None:
        """What is new in an event of the rerun, if anything. Raises `Diverged`."""
        if not isinstance(event, TextDelta | ChoiceDone) or event.choice not in self._choices:
            return event
        choice = self._choices[event.choice]
        if isinstance(event, TextDelta):
            return _new_delta(choice, event)
        if choice.position < len(choice.text[0]):
            raise Diverged
        if choice.is_done:
            return None
        num_tokens, token_ids = choice.new_tokens(event.num_tokens), choice.new_ids(event.token_ids)
        return msgspec.structs.replace(event, num_tokens=num_tokens, token_ids=token_ids)

    def _of(self, number: int) -> _Choice:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice()
        return choice


def _new_delta(choice: _Choice, event: TextDelta) -> TextDelta | None:
    text, num_tokens = choice.new_text(event.text), choice.new_tokens(event.num_tokens)
    token_ids = choice.new_ids(event.token_ids)
    repeated = min(len(event.logprobs), choice.old_logprobs)
    choice.old_logprobs -= repeated
    logprobs = event.logprobs[repeated:]
    if not text and not logprobs:
        return None
    choice.owed, choice.owed_ids = 0, []
    return msgspec.structs.replace(
        event, text=text, num_tokens=num_tokens, logprobs=logprobs, token_ids=token_ids
    )
