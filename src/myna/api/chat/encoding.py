"""From a conversation to tokens. Takes a while: runs in a thread."""

from collections.abc import Sequence

from myna.api.chat.convert import room_for_answer, to_messages
from myna.api.chat.messages import Message
from myna.prompts.prompting import Prompting


def encode(messages: Sequence[Message], prompting: Prompting, context_tokens: int) -> list[int]:
    """The conversation's tokens. One that is far too long is refused before it is read."""
    fewest = sum(prompting.least_tokens(message.text()) for message in messages)
    room_for_answer(fewest, None, context_tokens)
    return prompting.encode_chat(to_messages(messages))
