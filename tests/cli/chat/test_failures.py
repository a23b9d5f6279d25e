"""What a chat says when the server refuses, breaks off or isn't there; the conversation is kept."""

from collections.abc import Iterator

import pytest
from tests.cli.chat.scripted import Script, piece, scripted

from myna.cli.chat.conversation import Conversation, Turn
from myna.cli.chat.server import ChatServer
from myna.cli.chat.session import Chat
from myna.cli.client import list_models
from myna.core.errors import OperatorError


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted() as script:
        yield script


def ask(script: Script, capsys: pytest.CaptureFixture[str]) -> tuple[Chat, str]:
    """A second question, after one that was answered."""
    chat = Chat(ChatServer(script.base_url, ""), Conversation("bird-1"), shows_stats=False)
    chat.conversation.turns = [Turn("user", "Hi"), Turn("assistant", "Hello.")]
    chat.ask("More?")
    return chat, " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("status", "message", "code", "said"),
    [
        (401, "Incorrect API key provided: sk. You can find yours at x.", None, "set OPENAI_API_KEY to one"),
        (
            400,
            "This model's maximum context length is 64 tokens.",
            "context_length_exceeded",
            "The conversation is too long for bird-1",
        ),
        (400, "the request exceeds the available context size", None, "too long for bird-1"),
        (400, "Unsupported parameter: 'top_k'.", None, "see /set and /system"),
        (404, "The model 'bird-1' does not exist.", "model_not_found", "(Choose a model with /model.)"),
        (429, "Slow down! Please.", None, "The server can't answer now (Slow down); /retry in a moment."),
        (500, "The server had an error. Sorry.", None, "can't answer now (The server had an error); /retry"),
    ],
)
def test_a_refusal_says_what_to_do_and_keeps_the_question(
    script: Script,
    capsys: pytest.CaptureFixture[str],
    status: int,
    message: str,
    code: str | None,
    said: str,
) -> None:
    script.refuse(status, message, code)
    chat, out = ask(script, capsys)
    assert said in out
    assert [turn.text for turn in chat.conversation.turns] == ["Hi", "Hello.", "More?"]
    script.say("Now.")
    chat.ask("Another")  # takes the place of the one without an answer
    assert [message["content"] for message in script.asked[-1]["messages"]] == ["Hi", "Hello.", "Another"]


@pytest.mark.parametrize(
    "events",
    [
        [piece(content="Half")],
        [piece(content="Half"), '{"error": {"message": "The engine died."}}'],
        [piece(content="Half"), "{broken"],
        [piece(content="Half"), "[1]"],
    ],
)
def test_half_an_answer_is_kept_and_marked(
    script: Script, capsys: pytest.CaptureFixture[str], events: list[str]
) -> None:
    script.answers.append(events)
    chat, out = ask(script, capsys)
    assert "Half" in out
    assert "(The partial answer is kept; /retry asks again.)" in out
    assert chat.conversation.turns[-1] == Turn("assistant", "Half", is_stopped=True)


def test_a_server_that_is_gone_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    _, out = ask(Script("http://127.0.0.1:9/v1"), capsys)
    assert "Can't reach http://127.0.0.1:9/v1" in out
    assert "(The question is kept; /retry asks again.)" in out


def test_an_error_body_of_another_shape_does_not_crash(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script.answers.append((502, ["bad gateway"]))
    assert "The server returned 502 Bad Gateway" in ask(script, capsys)[1]


def test_an_answer_that_reached_its_length_says_so(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script.answers.append([piece(content="Long"), piece("length"), "[DONE]"])
    assert "reached its maximum length" in ask(script, capsys)[1]


def test_this_machine_s_server_is_not_asked_through_a_proxy(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert list_models(script.base_url, "") == ["bird-1", "bird-2"]


@pytest.mark.parametrize("models", [3, [3], [{"name": "x"}], None])
def test_a_page_that_is_not_an_api_is_reported(script: Script, models: object) -> None:
    script.models = models
    with pytest.raises(OperatorError, match="is not an OpenAI-compatible server"):
        list_models(script.base_url, "")
