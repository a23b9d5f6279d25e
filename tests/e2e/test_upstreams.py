"""A Myna in front of another: the official client notices nothing, and both ledgers agree."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from openai import OpenAI
from tests.e2e.server import KEY, ServerProcess, serving, variables

FAR = "gpt-4o"  # to the one behind, an alias of its fake model
ALIAS = "near"
UPSTREAM_KEY = "sk-upstream-0123456789abcdef"
TOML = """
[upstreams.big]
url = "{url}"
key_env = "BIG_KEY"
models = ["gpt-4o", "nowhere"]
price = {{ prompt = 1, completion = 2 }}

[upstreams.down]
url = "http://127.0.0.1:1/v1"

[aliases]
near = "gpt-4o"
"""
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "fly", "parameters": {"type": "object", "properties": {"to": {"type": "string"}}}},
}
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "[[say 你好 🙂 café]]"}], "seed": 1}
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("chat/completions", CHAT),
    "several": ("chat/completions", {**CHAT, "n": 3}),
    "logprobs": ("chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 3}),
    "tools": ("chat/completions", {**CHAT, "tools": [TOOL], "tool_choice": "required"}),
    "length": ("chat/completions", {**CHAT, "max_completion_tokens": 2}),
    "completions": ("completions", {"prompt": "one", "logprobs": 2, "seed": 1, "echo": True, "best_of": 1}),
    "refused": ("chat/completions", {**CHAT, "temperature": 9}),
    "unknown": ("chat/completions", {**CHAT, "no_such_field": [1, {"a": None}]}),
}


class Pair(NamedTuple):
    front: ServerProcess
    behind: ServerProcess
    home: Path


@contextmanager
def opened(front_home: Path, behind_home: Path) -> Iterator[Pair]:
    flags = ("--engine", "fake")
    with serving(behind_home, *flags, MYNA_API_KEY=UPSTREAM_KEY) as behind:
        (front_home / "myna.toml").write_text(TOML.format(url=behind.base_url), encoding="utf-8")
        with serving(front_home, *flags, BIG_KEY=UPSTREAM_KEY) as front:
            yield Pair(front, behind, front_home)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with opened(tmp_path_factory.mktemp("front"), tmp_path_factory.mktemp("behind")) as pair:
        yield pair


def client_of(server: ServerProcess, key: str = KEY) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key=key, max_retries=0)


def raw(server: ServerProcess, key: str, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    """Status and body, without what differs from one answer to the next."""
    request = urllib.request.Request(
        f"{server.base_url}/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request) as response:
            status, data = response.status, response.read()
    except urllib.error.HTTPError as exc:
        status, data = exc.code, exc.read()
    data = re.sub(rb"(chatcmpl|cmpl|call)[-_]\w+", rb"\1", data)
    return status, re.sub(rb'"(created|cached_tokens)": ?\d+', rb'"\1":0', data)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("name", REQUESTS)
def test_every_answer_has_the_bytes_of_the_one_behind(pair: Pair, name: str, is_stream: bool) -> None:
    path, fields = REQUESTS[name]
    body: dict[str, Any] = {"model": FAR, **fields, "stream": is_stream}
    wants_usage = [False, True] if is_stream else [False]
    for include_usage in wants_usage:
        if is_stream:
            body["stream_options"] = {"include_usage": include_usage, "include_obfuscation": False}
        direct = raw(pair.behind, UPSTREAM_KEY, path, body)
        relayed = raw(pair.front, KEY, path, body)
        assert relayed[0] == direct[0]
        if name == "several" and is_stream:  # which choice comes first is a matter of time
            assert sorted(relayed[1].split(b"\n\n")) == sorted(direct[1].split(b"\n\n"))
        else:
            assert relayed[1] == direct[1]
        assert direct[0] == (400 if name in ("refused", "unknown") else 200)


def test_the_official_client_asks_by_an_alias_and_it_is_echoed(pair: Pair) -> None:
    with client_of(pair.front) as client:
        whole = client.chat.completions.create(model=ALIAS, messages=CHAT["messages"])
        with client.chat.completions.create(model=ALIAS, messages=CHAT["messages"], stream=True) as stream:
            chunks = list(stream)
    assert whole.model == ALIAS
    assert {chunk.model for chunk in chunks} == {ALIAS}
    assert all(chunk.usage is None for chunk in chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content == "你好 🙂 café"


def test_models_of_both_are_listed_and_retrieved(pair: Pair) -> None:
    with client_of(pair.front) as client:
        listed = {model.id: model.owned_by for model in client.models.list()}
        assert listed["fake"] == "myna"
        assert [listed[name] for name in (FAR, ALIAS, "nowhere")] == ["big"] * 3
        assert client.models.retrieve(FAR).id == FAR
        with pytest.raises(openai.PermissionDeniedError):
            client.models.delete(FAR)
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="nowhere", messages=CHAT["messages"])
        assert caught.value.code == "model_not_found"


def test_the_ledger_has_what_the_one_behind_counted_and_its_price(tmp_path: Path) -> None:
    homes = {name: tmp_path / name for name in ("front", "behind")}
    for home in homes.values():
        home.mkdir()
    with opened(homes["front"], homes["behind"]) as pair, client_of(pair.front) as client:
        for model in (FAR, ALIAS):
            client.chat.completions.create(model=model, messages=CHAT["messages"], n=2)
            with client.chat.completions.create(
                model=model, messages=CHAT["messages"], stream=True
            ) as stream:
                assert all(chunk.usage is None for chunk in stream)
            client.completions.create(model=model, prompt=["one", "two"], max_tokens=4)
        assert pair.front.stop() == pair.behind.stop() == 0
    (ours,), (theirs,) = (json.loads(_run(home, "usage", "--json"))["by_model"] for home in homes.values())
    assert (ours["model"], theirs["model"]) == (FAR, "fake")
    counts = ("num_requests", "num_completed", "prompt_tokens", "cached_tokens", "completion_tokens")
    assert {name: ours[name] for name in counts} == {name: theirs[name] for name in counts}
    assert ours["completion_tokens"] > 0
    dollars = (ours["prompt_tokens"] + 2 * ours["completion_tokens"]) / 1e6
    assert ours["cost_usd"] == pytest.approx(dollars)
    assert theirs["cost_usd"] == 0


def test_doctor_shows_each_upstream(pair: Pair) -> None:
    text = _run(pair.home, "doctor", "--quick", "--json")
    findings = [finding for finding in json.loads(text) if "upstream" in finding["text"]]
    assert [finding["state"] for finding in findings] == ["ok", "wrong"]
    assert "'big' answers" in findings[0]["text"]
    assert "'down' can't be reached" in findings[1]["text"]
    assert UPSTREAM_KEY not in text


def _run(home: Path, *arguments: str) -> str:
    environment = variables(home) | {"BIG_KEY": UPSTREAM_KEY, "MYNA_ENGINE": "fake"}
    command = [sys.executable, "-m", "myna.cli", *arguments]
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True).stdout
