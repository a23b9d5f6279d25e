"""Stored responses, conversations and background responses."""

from collections.abc import Mapping
from typing import Any, Final

import openai

from myna.cli.checks.server import Check, ExpectationFailed, ServerUnderTest, expect

_GROUP: Final = "Stored responses"
_MAX_POLLS: Final = 10_000


def _create(server: ServerUnderTest, text: str = "Say hello.", **options: Any) -> Any:
    create: Any = server.client.responses.create
    return create(model=server.model, input=text, **{"max_output_tokens": 16, **options})


def _retrieve(server: ServerUnderTest) -> None:
    created = _create(server)
    expect(server.client.responses.retrieve(created.id) == created, "the stored response differs")


def _unknown(server: ServerUnderTest) -> None:
    try:
        server.client.responses.retrieve("resp_unknown")
    except openai.NotFoundError as exc:
        expect("'resp_unknown' not found" in str(exc), f"the error says {exc}")
        return
    raise ExpectationFailed("an unknown id was found")


def _delete(server: ServerUnderTest) -> None:
    created = _create(server)
    server.client.responses.delete(created.id)
    try:
        server.client.responses.retrieve(created.id)
    except openai.NotFoundError:
        return
    raise ExpectationFailed("a deleted response was found")


def _input_items(server: ServerUnderTest) -> None:
    first = _create(server, "One")
    second = _create(server, "Two", previous_response_id=first.id)
    pages = server.client.responses.input_items.list(second.id, order="asc", limit=1)
    roles = [getattr(item, "role", item.type) for item in pages]
    expect(roles[0] == "user" and roles[-1] == "user", f"the roles are {roles}")
    expect("assistant" in roles, "the items of the chain are missing")


def _conversation(server: ServerUnderTest) -> None:
    conversations: Any = server.client.conversations
    made = conversations.create(items=[{"role": "user", "content": "One"}], metadata={"a": "b"})
    expect(conversations.retrieve(made.id).metadata == {"a": "b"}, "the metadata differs")
    _create(server, "Two", conversation=made.id)
    items = list(conversations.items.list(made.id, order="asc", limit=1))
    roles = [item.role for item in items]
    expect(roles[:2] == ["user", "user"] and "assistant" in roles, f"the roles are {roles}")
    conversations.items.delete(items[0].id, conversation_id=made.id)
    expect(len(list(conversations.items.list(made.id))) == len(items) - 1, "the item wasn't deleted")
    expect(conversations.delete(made.id).deleted is True, "the conversation wasn't deleted")


def _background(server: ServerUnderTest) -> None:
    created = _create(server, background=True)
    expect(created.status in ("queued", "in_progress"), f"its status is {created.status}")
    for _ in range(_MAX_POLLS):
        found = server.client.responses.retrieve(created.id)
        if found.status not in ("queued", "in_progress"):
            break
    expect(found.status in ("completed", "incomplete"), f"it ended as {found.status}")
    expect(bool(found.output), "it has no output")


def _cancel(server: ServerUnderTest) -> None:
    created = _create(server, background=True, max_output_tokens=1000)
    found = server.client.responses.cancel(created.id)
    expect(found.status in ("cancelled", "completed", "incomplete"), f"its status is {found.status}")
    expect(server.client.responses.cancel(created.id) == found, "cancelling again changes it")


def _synchronous(server: ServerUnderTest) -> None:
    created = _create(server)
    response = server.post(f"responses/{created.id}/cancel", {})
    expect(response.status_code == 400, f"HTTP {response.status_code} instead of 400")


def _resumed(server: ServerUnderTest) -> None:
    stream: Any = _create(server, background=True, stream=True)
    events = list(stream)
    last = events[len(events) // 2]
    rest: Any = server.client.responses.retrieve(
        events[0].response.id, stream=True, starting_after=last.sequence_number
    )
    numbers = [event.sequence_number for event in rest]
    expected = [event.sequence_number for event in events if event.sequence_number > last.sequence_number]
    expect(numbers == expected, f"the numbers are {numbers} instead of {expected}")


def _refused(server: ServerUnderTest, body: Mapping[str, object], status: int, text: str) -> None:
    error = server.refused("responses", {"input": "x", **body}, status)
    expect(text in str(error["message"]), f"the error says {error['message']}")


def _unknown_conversation(server: ServerUnderTest) -> None:
    _refused(server, {"conversation": "conv_unknown"}, 404, "Conversation with id 'conv_unknown' not found.")


def _unknown_item(server: ServerUnderTest) -> None:
    body = {"input": [{"type": "item_reference", "id": "msg_unknown"}]}
    _refused(server, body, 404, "Item with id 'msg_unknown' not found.")


CHECKS: Final = (
    Check(_GROUP, "a response is stored as it was answered", _retrieve),
    Check(_GROUP, "an unknown stored response is a 404", _unknown),
    Check(_GROUP, "a deleted response is gone", _delete),
    Check(_GROUP, "input_items: the whole chain, page by page", _input_items),
    Check(_GROUP, "a conversation, and a response that adds to it", _conversation),
    Check(_GROUP, "background: polled until it has ended", _background),
    Check(_GROUP, "background: cancelled, twice", _cancel),
    Check(_GROUP, "a synchronous response can't be cancelled", _synchronous),
    Check(_GROUP, "background: a stream is resumed with starting_after", _resumed),
    Check(_GROUP, "an unknown conversation is a 404", _unknown_conversation),
    Check(_GROUP, "a reference to an unknown item is a 404", _unknown_item),
)
