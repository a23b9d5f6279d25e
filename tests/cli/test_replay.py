"""`myna replay`: identical answers, the token where another begins, and ids that nobody stored."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from myna.cli import replay
from myna.cli.root import app
from myna.core.stored import StoredCompletion
from myna.stores.registry import open_stores


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MYNA_HOME", str(tmp_path))
    monkeypatch.setenv("MYNA_API_KEY", "sk-replay-0123456789")
    store = open_stores(f"sqlite:///{tmp_path}/myna.db").completions()
    item = {"tools": None, "system_fingerprint": "fp_1", "choices": [_choice("你好 world")]}
    store.put(
        StoredCompletion(
            id="chatcmpl-1",
            project="default",
            created=1,
            model="tiny",
            item=json.dumps(item).encode(),
            messages=b"[]",
            replay=b'{"model": "tiny", "seed": 5}',
            metadata={},
        )
    )
    store.close()
    return tmp_path


def _choice(content: str, *tokens: str) -> dict[str, object]:
    entries = [{"token": token, "bytes": list(token.encode())} for token in tokens]
    return {
        "index": 0,
        "message": {"content": content},
        "finish_reason": "stop",
        "logprobs": {"content": entries} if tokens else None,
    }


def _answering(
    monkeypatch: pytest.MonkeyPatch, choice: dict[str, object], fingerprint: str = "fp_1"
) -> list[object]:
    sent: list[object] = []

    def post(base_url: str, key: str, path: str, body: object) -> dict[str, object]:
        sent.append(body)
        return {"system_fingerprint": fingerprint, "choices": [choice]}

    monkeypatch.setattr(replay, "post", post)
    return sent


def test_the_same_answer_is_identical(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = _answering(monkeypatch, _choice("你好 world", "你", "好", " world"))
    result = CliRunner().invoke(app, ["replay", "chatcmpl-1"])
    assert (result.exit_code, result.stdout) == (0, "identical\n")
    assert sent == [{"model": "tiny", "temperature": 1, "seed": 5, "logprobs": True}]


def test_another_answer_names_its_first_other_token_and_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _answering(monkeypatch, _choice("你好 moon", "你", "好", " moon"), "fp_2")
    result = CliRunner().invoke(app, ["replay", "chatcmpl-1"])
    assert result.exit_code == 1
    assert "choice 0 differs at token 2: 'world' then, 'moon' now" in result.stdout
    assert "fp_1 then, fp_2 now" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        ('{"city": "北京"}', "identical"),
        ('{"city": "上海"}', "choice 0 differs in call 0 at character 18: '北京\"}' then, '上海\"}' now"),
        (None, "choice 0 differs in call 0 at character 0: 'weather {\"city\": \"北京\"}' then, '' now"),
    ],
)
def test_calls_are_compared_letter_by_letter(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: str | None, finding: str
) -> None:
    def called(with_arguments: str | None) -> dict[str, object]:
        call = {"type": "function", "function": {"name": "weather", "arguments": with_arguments}}
        message = {"content": None, "tool_calls": [call] if with_arguments else None}
        return {**_choice(""), "message": message}

    store = open_stores(f"sqlite:///{home}/myna.db").completions()
    item = {"tools": [], "system_fingerprint": "fp_1", "choices": [called('{"city": "北京"}')]}
    body = b'{"model": "tiny"}'
    store.put(
        StoredCompletion("chatcmpl-2", "default", 1, "tiny", json.dumps(item).encode(), b"[]", body, {})
    )
    store.close()
    _answering(monkeypatch, called(arguments))
    result = CliRunner().invoke(app, ["replay", "chatcmpl-2"])
    assert result.stdout.splitlines() == [finding]


def test_a_prediction_is_sent_again_without_log_probabilities() -> None:
    body = {"model": "tiny", "temperature": 0.5, "prediction": {"type": "content", "content": "a"}}
    assert replay._again(body) == body


def test_what_was_stored_before_there_were_defaults_had_openais() -> None:
    assert replay._again({"model": "tiny"})["temperature"] == 1
    assert replay._again({"model": "tiny", "temperature": 0})["temperature"] == 0


def test_an_unknown_id_is_a_sentence() -> None:
    result = CliRunner().invoke(app, ["replay", "chatcmpl-9"])
    assert result.exit_code != 0
    assert "store=True" in str(result.exception)
