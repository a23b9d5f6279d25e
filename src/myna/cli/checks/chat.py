"""The Chat Completions API: messages, streams, log-probabilities, structured output, images, storing."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import openai

from myna.cli.checks.server import Check, ExpectationFailed, ServerUnderTest, envelope, expect

_GROUP: Final = "Chat"
_ASK: Final = [{"role": "user", "content": "Say hello in one short sentence."}]
_PERSON: Final = {
    "type": "object",
    "properties": {"姓名": {"type": "string", "enum": ["李雷", "韩梅梅"]}, "age": {"type": "integer"}},
    "required": ["姓名", "age"],
    "additionalProperties": False,
}


def _chat(server: ServerUnderTest, messages: Any = _ASK, **options: Any) -> Any:
    body = {"max_tokens": 24, "temperature": 0, **options}
    return server.client.chat.completions.create(model=server.model, messages=messages, **body)


def _turn(server: ServerUnderTest) -> None:
    answer = _chat(server)
    expect(answer.choices[0].message.content, "no content")
    expect(answer.choices[0].message.role == "assistant", f"role is {answer.choices[0].message.role}")
    expect(answer.id.startswith("chatcmpl-"), f"the id is {answer.id}")
    expect(answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens, "usage")


def _second_turn(server: ServerUnderTest) -> None:
    first = _chat(server).choices[0].message
    _chat(server, [*_ASK, first, {"role": "user", "content": "再说一遍"}])
    _chat(server, [*_ASK, first.model_dump(), {"role": "user", "content": "Again."}])


def _developer(server: ServerUnderTest) -> None:
    short, long = ({"role": "developer", "content": "Be brief. " * times} for times in (1, 21))
    grown = (
        _chat(server, [long, *_ASK]).usage.prompt_tokens - _chat(server, [short, *_ASK]).usage.prompt_tokens
    )
    expect(grown >= 40, f"twenty more sentences made the prompt {grown} tokens longer")


def _parts(server: ServerUnderTest) -> None:
    parts = [{"type": "text", "text": "Say "}, {"type": "text", "text": "hello."}]
    joined = _chat(server, [{"role": "user", "content": "Say hello."}])
    split = _chat(server, [{"role": "user", "content": parts}])
    expect(
        joined.choices[0].message.content == split.choices[0].message.content, "parts are answered otherwise"
    )


def _limit(server: ServerUnderTest) -> None:
    answer = server.client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": "Count to one hundred."}],
        max_completion_tokens=5,
    )
    used = answer.usage.completion_tokens if answer.usage else 0
    expect(used <= 5, f"{used} tokens with max_completion_tokens 5")
    expect(answer.choices[0].finish_reason == "length", f"finish_reason is {answer.choices[0].finish_reason}")


def _choices(server: ServerUnderTest) -> None:
    answer = _chat(server, n=3, temperature=1)
    expect([choice.index for choice in answer.choices] == [0, 1, 2], f"{len(answer.choices)} choices")
    one = _chat(server).usage.prompt_tokens
    expect(answer.usage.prompt_tokens == one, "the prompt was counted more than once")


def _logprobs(server: ServerUnderTest) -> None:
    found = _chat(server, logprobs=True, top_logprobs=3).choices[0]
    entries = found.logprobs.content
    expect(entries and len(entries[0].top_logprobs) == 3, "no top_logprobs")
    shown = b"".join(bytes(entry.bytes or []) for entry in entries).decode(errors="replace")
    expect(shown.startswith(found.message.content), f"the bytes say {shown!r}")


def _chinese_bytes(server: ServerUnderTest) -> None:
    ask = [{"role": "user", "content": "用中文说一个罕见的汉字和一个表情符号，例如：犇 🦜"}]
    found = _chat(server, ask, logprobs=True, top_logprobs=0).choices[0]
    data = b"".join(bytes(entry.bytes or []) for entry in found.logprobs.content)
    expect(found.message.content.encode() in data, "the tokens' bytes are not the content's")


def _stream(server: ServerUnderTest) -> None:
    chunks = server.chat_stream("Say hello.", stream_options={"include_usage": True})
    expect(chunks[0].choices[0].delta.role == "assistant", "the first chunk has no role")
    expect(sum(bool(c.choices and c.choices[0].delta.role) for c in chunks) == 1, "the role was repeated")
    expect(chunks[-1].usage is not None and not chunks[-1].choices, "no usage chunk")
    finals = [c for c in chunks if c.choices and c.choices[0].finish_reason]
    expect(len(finals) == 1, f"{len(finals)} finish chunks")
    empty = [c for c in chunks[1:-2] if c.choices and not c.choices[0].delta.content]
    expect(not empty, f"{len(empty)} empty chunks")


def _helper(server: ServerUnderTest) -> None:
    messages: Any = _ASK
    with server.client.chat.completions.stream(model=server.model, messages=messages, max_tokens=8) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
    message = stream.current_completion_snapshot.choices[0].message
    expect(message.role == "assistant", f"the role adds up to {message.role!r}")
    expect(message.content == text, "the snapshot's content differs from its deltas")


def _json_object(server: ServerUnderTest) -> None:
    ask = [{"role": "user", "content": "Give a JSON object with the keys a and b."}]
    text = (
        _chat(server, ask, response_format={"type": "json_object"}, max_tokens=200).choices[0].message.content
    )
    expect(isinstance(json.loads(text), dict), f"no object: {text!r}")


def _json_schema(server: ServerUnderTest) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": _PERSON}}
    ask = [{"role": "user", "content": "李雷今年十二岁。"}]
    for temperature in (0, 1.5):
        text = (
            _chat(server, ask, response_format=form, temperature=temperature, max_tokens=300)
            .choices[0]
            .message.content
        )
        value = json.loads(text)
        expect(
            set(value) == {"姓名", "age"} and isinstance(value["age"], int), f"not of the schema: {text!r}"
        )


def _bad_schema(server: ServerUnderTest) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}}}
    server.refused("chat/completions", {"messages": _ASK, "response_format": form})


def _store(server: ServerUnderTest) -> None:
    mark = f"check-{time.time_ns()}"
    made = _chat(server, store=True, metadata={"mark": mark})
    found = server.client.chat.completions.retrieve(made.id)
    expect(found.id == made.id, f"retrieved {found.id}")
    listed = server.client.chat.completions.list(metadata={"mark": mark})
    expect([item.id for item in listed.data] == [made.id], "the list's filter doesn't find it")
    messages = server.client.chat.completions.messages.list(made.id)
    expect(messages.data[0].content == _ASK[0]["content"], "its messages are not those that were sent")
    server.client.chat.completions.delete(made.id)
    try:
        server.client.chat.completions.retrieve(made.id)
    except openai.NotFoundError:
        return
    raise ExpectationFailed("it is there after its deletion")


def _stop(server: ServerUnderTest) -> None:
    whole = _chat(server).choices[0].message.content
    middle = len(whole) // 2
    word = whole[middle : middle + 3]
    expect(len(word) == 3, f"nothing to stop at in {whole!r}")
    answer = _chat(server, stop=[word]).choices[0]
    expect(answer.message.content == whole.partition(word)[0], f"stopped after {answer.message.content!r}")
    expect(answer.finish_reason == "stop", f"finish_reason is {answer.finish_reason}")


def _seed(server: ServerUnderTest) -> None:
    first, second = (_chat(server, temperature=1.2, seed=11) for _ in range(2))
    texts = [answer.choices[0].message.content for answer in (first, second)]
    expect(texts[0] == texts[1], f"{texts[0]!r}, then {texts[1]!r}")
    expect(first.id != second.id, "two answers have one id")
    expect(first.system_fingerprint == second.system_fingerprint, "the fingerprint changed between the two")


def _effort(server: ServerUnderTest) -> None:
    """A model that doesn't reason may take it as a hint."""
    _honoured_or_refused(
        server, "reasoning_effort", "low", lambda answer: answer.usage.completion_tokens, max_tokens=100
    )


def _prediction(server: ServerUnderTest) -> None:
    said = _chat(server).choices[0].message.content
    _honoured_or_refused(
        server,
        "prediction",
        {"type": "content", "content": said},
        lambda answer: answer.usage.completion_tokens_details.accepted_prediction_tokens,
    )


def _tier(server: ServerUnderTest) -> None:
    answer = _chat(server, service_tier="flex")
    expect(answer.service_tier in ("flex", "default"), f"service_tier is {answer.service_tier!r}")


def _image(server: ServerUnderTest) -> None:
    dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{dot}"}},
    ]
    with_one, without = (
        server.post("chat/completions", {"model": server.model, "max_tokens": 8, "messages": [message]})
        for message in ({"role": "user", "content": parts}, {"role": "user", "content": parts[:1]})
    )
    if with_one.status_code == 400:
        envelope(with_one)
        return
    expect(with_one.status_code == 200, f"HTTP {with_one.status_code}")
    tokens = [response.json()["usage"]["prompt_tokens"] for response in (with_one, without)]
    expect(tokens[0] > tokens[1], "the image was dropped without a word")


def _honoured_or_refused(
    server: ServerUnderTest, name: str, value: object, effect: Callable[[Any], object], **options: object
) -> None:
    """A model may lack it; then the request is a 400 that names it."""
    try:
        answer = _chat(server, **{name: value, **options})
    except openai.BadRequestError as exc:
        expect(exc.param == name, f"refused, but param is {exc.param!r}")
        return
    try:
        shown = effect(answer)
    except AttributeError:
        shown = None
    expect(shown, f"{name} was accepted, and nothing shows of it")


CHECKS: Final = (
    Check(_GROUP, "one turn", _turn),
    Check(_GROUP, "the SDK's own message object goes back in", _second_turn),
    Check(_GROUP, "role developer reaches the model", _developer),
    Check(_GROUP, "content as text parts", _parts),
    Check(_GROUP, "max_completion_tokens", _limit),
    Check(_GROUP, "n; the prompt counted once", _choices),
    Check(_GROUP, "stop, in chat: the text before it", _stop),
    Check(_GROUP, "seed: the same answer under another id", _seed),
    Check(_GROUP, "logprobs and top_logprobs", _logprobs),
    Check(_GROUP, "true token bytes (Chinese, emoji)", _chinese_bytes),
    Check(_GROUP, "stream: role once, one finish, usage chunk, none empty", _stream),
    Check(_GROUP, "the SDK's stream helper", _helper),
    Check(_GROUP, "response_format json_object", _json_object),
    Check(_GROUP, "response_format json_schema, strict, at any temperature", _json_schema),
    Check(_GROUP, "an unsupported strict schema is refused", _bad_schema),
    Check(_GROUP, "prediction is counted, or refused", _prediction),
    Check(_GROUP, "reasoning_effort is taken, or refused", _effort),
    Check(_GROUP, "an image is seen, or refused", _image),
    Check(_GROUP, "service_tier is returned", _tier),
    Check(_GROUP, "store, list, messages, delete", _store),
)
