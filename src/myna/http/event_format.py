"""What a stream of server-sent events has besides its events: its end, signs of life, and its error."""

from typing import Final, Protocol

from myna.wire.errors import error_event

DONE: Final = b"data: [DONE]\n\n"
KEEP_ALIVE: Final = b": keep-alive\n\n"


class EventFormat(Protocol):
    """The framing of one stream; pure."""

    @property
    def end(self) -> bytes:
        """What follows the last event, and the error."""
        ...

    def keep_alive(self) -> bytes:
        """What is sent when there was nothing to send for a while."""
        ...

    def error(self, exc: BaseException, request_id: str) -> bytes:
        """The event that reports the error of a stream that has started."""
        ...


class OpenAIEvents:
    """The framing of OpenAI's completions."""

    end: Final = DONE

    def keep_alive(self) -> bytes:
        """A comment, which clients skip."""
        return KEEP_ALIVE

    def error(self, exc: BaseException, request_id: str) -> bytes:
        return error_event(exc, request_id)


OPENAI_EVENTS: Final = OpenAIEvents()
