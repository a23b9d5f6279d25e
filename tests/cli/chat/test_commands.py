"""The commands of a chat, and questions between them, against a scripted server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.chat.scripted import MODELS, Script, piece, scripted

from myna.cli.chat import commands
from myna.cli.chat.commands import COMMANDS, is_command, run_command
from myna.cli.chat.conversation import Conversation, Turn
from myna.cli.chat.parameters import MAX_STOPS, PARAMETERS
from myna.cli.chat.server import ChatServer
from myna.cli.chat.session import Chat
from myna.core.errors import MynaError
from myna.wire import fields
from myna.wire.parameters import CHAT


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted() as script:
        yield script


@pytest.fixture
def chat(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chat:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("VISUAL", "EDITOR", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return Chat(ChatServer(script.base_url, "sk-bird"), Conversation("bird-1"), shows_stats=False)


def messages(script: Script) -> list[tuple[str, str]]:
    """Of the last request."""
    return [(message["role"], message["content"]) for message in script.asked[-1]["messages"]]


def test_a_conversation_is_sent_whole_and_grows(
    chat: Chat, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script.say("Hel", "lo.")
    script.say("Bye.")
    run_command(chat, "/system Be brief.")
    chat.ask("Hi")
    chat.ask("And now?")
    assert messages(script) == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "And now?"),
    ]
    assert script.keys == ["Bearer sk-bird"] * 2
    assert script.asked[-1]["stream"] is True
    out = capsys.readouterr().out
    assert "Hello.\n" in out
    assert "Bye.\n" in out
    assert [turn.text for turn in chat.conversation.turns] == ["Hi", "Hello.", "And now?", "Bye."]


def test_retry_asks_the_last_question_again(chat: Chat, script: Script) -> None:
    script.say("One.")
    script.say("Two.")
    chat.ask("Hi")
    run_command(chat, "/retry")
    assert messages(script) == [("user", "Hi")]
    assert chat.conversation.turns == [Turn("user", "Hi"), Turn("assistant", "Two.")]


def test_the_editor_s_text_is_asked(
    chat: Chat, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.say("One.")
    script.say("Two.")
    chat.ask("Hi")
    editor = tmp_path / "an editor"
    editor.write_text('#!/bin/sh\necho "$(cat "$1") there" > "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", f"'{editor}'")
    run_command(chat, "/edit")
    assert messages(script) == [("user", "Hi there")]


def test_without_an_editor_the_question_comes_back_into_the_line(chat: Chat, script: Script) -> None:
    script.say("One.")
    chat.ask("Hi")
    run_command(chat, "/edit")
    assert (chat.draft, chat.conversation.turns) == ("Hi", [])


def test_an_editor_that_fails_loses_nothing(
    chat: Chat, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.say("One.")
    chat.ask("Hi")
    monkeypatch.setenv("EDITOR", "false")
    with pytest.raises(MynaError, match="The editor false failed"):
        run_command(chat, "/edit")
    assert len(chat.conversation.turns) == 2


def test_settings_are_sent_until_they_are_default_again(chat: Chat, script: Script) -> None:
    for line in ("temperature 0.2", "stop=\\n\\n", 'logit_bias {"42": -100}', "seed 7", "ignore_eos on"):
        run_command(chat, f"/set {line}")
    run_command(chat, "/set seed default")
    script.say("Yes.")
    chat.ask("Hi")
    expected = {"temperature": 0.2, "stop": ["\n\n"], "logit_bias": {"42": -100}, "ignore_eos": True}
    assert {key: script.asked[-1].get(key) for key in (*expected, "seed")} == {**expected, "seed": None}


def test_all_parameters_are_shown_with_range_and_meaning(
    chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(chat, "/set top_p 0.9")
    run_command(chat, "/set")
    out = " ".join(capsys.readouterr().out.split())
    for parameter in PARAMETERS:
        assert parameter.name in out
        assert str(parameter.range).split()[0] in out
    assert "top_p 0.9 0 to 1" in out


def test_every_parameter_is_one_of_the_api() -> None:
    assert MAX_STOPS == fields.MAX_STOPS
    assert {parameter.name for parameter in PARAMETERS} <= CHAT.keys()
    assert [one.name for one in PARAMETERS if CHAT[one.name].is_extension != one.is_extension] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/mod", "There is no command /mod; did you mean /model?"),
        ("/s", "did you mean /system or /set or /save or /stats?"),
        ("/quti", "/help lists them all."),
        ("/", "There is no command /; /help lists them all."),
        ("/set temprature 1", "There is no parameter temprature; did you mean temperature?"),
        ("/set temperature hot", "temperature takes 0 to 2, not hot."),
        ("/set temperature nan", "temperature takes 0 to 2"),
        ("/set top_k -1", "top_k takes 0 or more"),
        ("/set seed 9223372036854775808", "seed takes a whole number"),
        ("/set stop [1]", "stop takes text, or a JSON list of up to 16"),
        (f"/set stop {json.dumps(['x'] * 17)}", "stop takes text, or a JSON list of up to 16"),
        ('/set logit_bias {"x": 1}', "logit_bias takes JSON"),
        ('/set logit_bias {"1": 101}', "logit_bias takes JSON"),
        ("/set ignore_eos maybe", "ignore_eos takes on or off"),
        ("/set reasoning_effort much", "reasoning_effort takes none, minimal"),
        ("/model bird", "The server has no model bird; did you mean bird-1 or bird-2?"),
        ("/model zzz", "/model lists them."),
        ("/retry", "There is no question to ask again"),
        ("/copy", "There is no answer to copy yet"),
        ("/save", "Name a file: /save"),
        ("/save x.json", "The conversation is empty, so there is nothing to save."),
        ("/load", "Name a file: /load"),
        ("/load nothing.json", "There is no file nothing.json."),
        ("/load /", "Can't read /"),
        ("/stats maybe", "/stats takes on or off"),
    ],
)
def test_a_wrong_command_is_one_sentence(chat: Chat, line: str, said: str) -> None:
    with pytest.raises(MynaError) as caught:
        run_command(chat, line)
    assert said in caught.value.message


def test_a_path_or_a_space_before_the_slash_is_text() -> None:
    assert is_command("/help")
    assert is_command("/mod x")
    assert not is_command("/etc/hosts is what?")
    assert not is_command(" /help")
    assert not is_command("1/2")


def test_another_model_answers(chat: Chat, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(chat, "/model")
    assert capsys.readouterr().out == "* bird-1\n  bird-2\n"
    run_command(chat, "/model bird-2")
    script.say("Yes.")
    chat.ask("Hi")
    assert script.asked[-1]["model"] == "bird-2"


def test_a_saved_conversation_goes_on_elsewhere(chat: Chat, script: Script, tmp_path: Path) -> None:
    script.answers.append([piece(reasoning_content="Hm."), piece(content="Hello.")])  # it breaks off here
    run_command(chat, "/system Be brief.")
    run_command(chat, "/set temperature 0.5")
    chat.ask("你好")
    run_command(chat, "/save talk.json")
    run_command(chat, "/save")  # again, over its own file
    other = Chat(chat.target, Conversation("bird-2"), shows_stats=False)
    run_command(other, "/load talk.json")
    assert other.conversation == chat.conversation
    assert other.conversation.turns[1] == Turn("assistant", "Hello.", "Hm.", is_stopped=True)
    run_command(chat, "/save talk.md")
    kept = (tmp_path / "talk.md").read_text(encoding="utf-8")
    assert kept.split("\n\n") == [
        "# bird-1",
        "## system",
        "Be brief.",
        "## user",
        "你好",
        "## assistant",
        "> Hm.",
        "Hello.",
        "*(stopped)*\n",
    ]
    with pytest.raises(MynaError, match=r"talk\.md already"):
        run_command(chat, "/save talk.md")
    with pytest.raises(MynaError, match="ends in neither"):
        run_command(chat, "/save talk")


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"messages": 3}',
        b'{"messages": [{"role": "assistant", "content": "x"}]}',
        b'{"messages": [{"role": "user", "content": [1]}]}',
        b'{"messages": [{"role": "tool", "content": "x"}]}',
        b'{"messages": [], "settings": {"temperature": "hot"}}',
        b"[" * 100_000,
    ],
)
def test_a_file_without_a_conversation_is_reported(chat: Chat, tmp_path: Path, kept: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(kept)
    before = chat.conversation
    with pytest.raises(MynaError, match=r"bad\.json"):
        run_command(chat, "/load bad.json")
    assert chat.conversation is before


def test_copy_takes_the_answer_or_its_last_code(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []

    def copy(text: str) -> str:
        copied.append(text)
        return "test"

    monkeypatch.setattr(commands, "copy", copy)
    answer = "Two:\n```py\na = 1\n```\nand\n~~~\n  b\n```\n~~~\n"
    chat.conversation.turns = [Turn("user", "Hi"), Turn("assistant", answer)]
    run_command(chat, "/copy")
    run_command(chat, "/copy code")
    assert copied == [answer, "  b\n```\n"]


def test_reset_forgets_only_the_messages(chat: Chat, script: Script) -> None:
    script.say("Yes.")
    run_command(chat, "/system Be brief.")
    chat.ask("Hi")
    run_command(chat, "/reset")
    assert (chat.conversation.turns, chat.conversation.system) == ([], "Be brief.")


def test_stats_show_what_the_server_counted(
    chat: Chat, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(chat, "/stats on")
    usage = json.dumps({"choices": [], "usage": {"completion_tokens": 41}})
    script.answers.append([piece(content="Yes."), piece("stop"), usage, "[DONE]"])
    chat.ask("Hi")
    assert script.asked[-1]["stream_options"] == {"include_usage": True}
    assert "41 tokens, " in capsys.readouterr().out


def test_help_shows_every_command(chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(chat, "/help")
    out = capsys.readouterr().out
    assert [command.name for command in COMMANDS if command.name not in out] == []
    run_command(chat, "/help set")
    assert "/retry" not in capsys.readouterr().out


def test_tab_offers_what_a_command_takes(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "talk.json").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "picture.png").touch()
    offered = {command.name: [choice for choice, _ in command.choices(chat, "")] for command in COMMANDS}
    assert offered["/model"] == MODELS
    assert offered["/load"] == ["folder/", "talk.json"]
    assert "temperature" in offered["/set"]
    assert "/exit" in offered["/help"]


@pytest.mark.parametrize("name", ["/exit", "/bye", "/quit"])
def test_exit_leaves(chat: Chat, name: str) -> None:
    run_command(chat, name)
    assert chat.is_done
