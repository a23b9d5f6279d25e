"""The legacy Completions API."""

import json
from typing import Final

from myna.cli.checks.server import Check, ServerUnderTest, expect

_GROUP: Final = "Completions"
_CHINESE: Final = "从前有一座山，山里有一座庙，"


def _string(server: ServerUnderTest) -> None:
    answer = server.complete()
    expect(answer.choices[0].text, "the text is empty")
    expect(answer.id.startswith("cmpl-"), f"the id is {answer.id}")
    expect(answer.object == "text_completion", f"object is {answer.object}")


def _strings(server: ServerUnderTest) -> None:
    alone = [server.complete(prompt).choices[0].text for prompt in ("One two three", "红橙黄绿")]
    answer = server.complete(["One two three", "红橙黄绿"])
    expect([choice.index for choice in answer.choices] == [0, 1], "the indexes are not 0, 1")
    expect(
        [choice.text for choice in answer.choices] == alone, "together they are answered otherwise than alone"
    )


def _tokens(server: ServerUnderTest) -> None:
    expect(server.complete([100, 200, 300]).usage.prompt_tokens == 3, "three ids are not three prompt tokens")  # type: ignore[union-attr]
    answer = server.complete([[100, 200], [300]])
    expect(len(answer.choices) == 2, f"two arrays gave {len(answer.choices)} choices")


def _absent(server: ServerUnderTest) -> None:
    response = server.post("completions", {"model": server.model, "max_tokens": 2})
    expect(response.status_code == 200, f"HTTP {response.status_code} without a prompt")


def _default_length(server: ServerUnderTest) -> None:
    body = {"model": server.model, "prompt": "1 2 3 4 5 6 7 8", "temperature": 0}
    used = server.post("completions", body).json()["usage"]["completion_tokens"]
    expect(used <= 16, f"{used} tokens without max_tokens")


def _length(server: ServerUnderTest) -> None:
    answer = server.complete("1 2 3 4 5 6 7", max_tokens=3)
    expect(answer.choices[0].finish_reason == "length", f"finish_reason is {answer.choices[0].finish_reason}")
    expect(answer.usage and answer.usage.completion_tokens == 3, f"usage is {answer.usage}")


def _choices(server: ServerUnderTest) -> None:
    answer = server.complete(["a", "b"], n=2, temperature=1, seed=1, max_tokens=2)
    expect([choice.index for choice in answer.choices] == [0, 1, 2, 3], "n=2 of two prompts isn't 0..3")


def _best_of(server: ServerUnderTest) -> None:
    answer = server.complete(best_of=3, n=1, temperature=1, max_tokens=4)
    used = answer.usage.completion_tokens if answer.usage else 0
    expect(len(answer.choices) == 1, f"{len(answer.choices)} choices")
    expect(used > 4, f"three candidates of up to four tokens cost {used}")


def _logprobs(server: ServerUnderTest) -> None:
    found = server.complete("The sky is", logprobs=2, max_tokens=3).choices[0].logprobs
    expect(found is not None and found.tokens, "logprobs.tokens is missing")
    expect(
        found is not None and found.top_logprobs and len(found.top_logprobs[0]) >= 2,
        "top_logprobs is missing",
    )
    expect(
        found is not None and found.text_offset == sorted(found.text_offset or []), "text_offset isn't rising"
    )
    expect(
        found is not None and (found.text_offset or [0])[0] == len("The sky is"),
        "text_offset isn't the prompt's end",
    )


def _scoring(server: ServerUnderTest) -> None:
    answer = server.complete("The sky is blue", echo=True, logprobs=1, max_tokens=0).choices[0]
    found = answer.logprobs
    expect(answer.text == "The sky is blue", f"the text is {answer.text!r}")
    expect(
        found is not None and found.token_logprobs and found.token_logprobs[0] is None, "the first isn't null"
    )
    expect(
        found is not None and all(p is not None and p <= 0 for p in (found.token_logprobs or [])[1:]),
        "a prompt token has no log-probability",
    )


def _echo(server: ServerUnderTest) -> None:
    text = server.complete("Alpha beta", echo=True).choices[0].text
    expect(text.startswith("Alpha beta"), f"the text starts with {text[:12]!r}")


def _suffix(server: ServerUnderTest) -> None:
    body = {
        "model": server.model,
        "prompt": "def add(a, b):\n    ",
        "suffix": "\n\nprint(add(1, 2))",
        "max_tokens": 16,
        "temperature": 0,
    }
    response = server.post("completions", body)
    expect(response.status_code in (200, 400), f"HTTP {response.status_code}")
    if response.status_code == 200:
        expect(
            body["suffix"] not in response.json()["choices"][0]["text"],
            "the suffix was pasted behind the answer",
        )


def _stop(server: ServerUnderTest) -> None:
    whole = server.complete("1, 2, 3, 4,", max_tokens=24).choices[0].text
    cut = whole[len(whole) // 2 : len(whole) // 2 + 3]
    answer = server.complete("1, 2, 3, 4,", max_tokens=24, stop=[cut]).choices[0]
    expect(
        answer.text == whole[: whole.index(cut)], f"{answer.text!r} instead of {whole[: whole.index(cut)]!r}"
    )
    expect(answer.finish_reason == "stop", f"finish_reason is {answer.finish_reason}")


def _stop_streamed(server: ServerUnderTest) -> None:
    whole = server.complete("1, 2, 3, 4,", max_tokens=24).choices[0].text
    cut = whole[len(whole) // 2 : len(whole) // 2 + 3]
    stream = server.complete("1, 2, 3, 4,", max_tokens=24, stop=[cut], stream=True)
    text = "".join(chunk.choices[0].text for chunk in stream if chunk.choices)  # type: ignore[attr-defined]
    expect(text == whole[: whole.index(cut)], f"streamed {text!r}")


def _seed(server: ServerUnderTest) -> None:
    texts = {server.complete(temperature=1, seed=7, max_tokens=12).choices[0].text for _ in range(3)}
    expect(len(texts) == 1, f"one seed gave {len(texts)} answers")
    others = {server.complete(temperature=1.5, seed=seed, max_tokens=12).choices[0].text for seed in range(4)}
    expect(len(others) > 1, "four seeds gave one answer")


def _bias(server: ServerUnderTest) -> None:
    answer = server.complete(logit_bias={"300": 100}, max_tokens=4, logprobs=0).choices[0]
    tokens = answer.logprobs.tokens if answer.logprobs else None
    expect(tokens is None or len(set(tokens)) == 1, f"a bias of 100 gave {tokens}")
    expect(len(answer.text) > 0, "no text")


def _stream_equals_whole(server: ServerUnderTest) -> None:
    whole = server.complete(_CHINESE, max_tokens=24).choices[0].text
    stream = server.complete(_CHINESE, max_tokens=24, stream=True)
    pieces = [chunk.choices[0].text for chunk in stream if chunk.choices]  # type: ignore[attr-defined]
    expect("".join(pieces) == whole, "the stream's text differs from the whole answer's")
    expect("\ufffd" not in "".join(pieces), "there is half a character in it")


def _usage_chunk(server: ServerUnderTest) -> None:
    lines = list(
        server.events(
            "completions", {"prompt": "x", "max_tokens": 3, "stream_options": {"include_usage": True}}
        )
    )
    data = [line[6:] for line in lines if line.startswith("data: ")]
    expect(data[-1] == "[DONE]", f"the stream ends with {data[-1]!r}")
    chunks = [json.loads(line) for line in data[:-1]]
    expect(
        chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] <= 3,
        "no usage chunk at the end",
    )
    expect(
        all("usage" in chunk and chunk["usage"] is None for chunk in chunks[:-1]),
        "usage isn't null before it",
    )


def _no_usage_unasked(server: ServerUnderTest) -> None:
    lines = list(server.events("completions", {"prompt": "x", "max_tokens": 2}))
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    expect(all("usage" not in chunk for chunk in chunks), "usage was sent unasked")


CHECKS: Final = (
    Check(_GROUP, "prompt: string", _string),
    Check(_GROUP, "prompt: array of strings, answered as each alone", _strings),
    Check(_GROUP, "prompt: token ids, arrays of token ids", _tokens),
    Check(_GROUP, "prompt absent: a new document", _absent),
    Check(_GROUP, "max_tokens defaults to 16", _default_length),
    Check(_GROUP, "finish_reason length, usage exact", _length),
    Check(_GROUP, "n with several prompts, in order", _choices),
    Check(_GROUP, "best_of draws and counts its candidates", _best_of),
    Check(_GROUP, "logprobs in the legacy shape", _logprobs),
    Check(_GROUP, "echo", _echo),
    Check(_GROUP, "echo + logprobs + max_tokens 0 scores the prompt", _scoring),
    Check(_GROUP, "suffix fills in the middle, or is refused", _suffix),
    Check(_GROUP, "stop ends before the stop string", _stop),
    Check(_GROUP, "stop, streamed: nothing leaks", _stop_streamed),
    Check(_GROUP, "seed makes an answer repeatable", _seed),
    Check(_GROUP, "logit_bias", _bias),
    Check(_GROUP, "stream equals the whole answer, Chinese unbroken", _stream_equals_whole),
    Check(_GROUP, "usage chunk when asked", _usage_chunk),
    Check(_GROUP, "no usage in a stream unasked", _no_usage_unasked),
)
