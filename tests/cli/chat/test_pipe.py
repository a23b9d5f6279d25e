"""`myna chat` in a pipe: plain text, what is piped in, exit codes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.chat.scripted import Script, piece, scripted


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted() as script:
        yield script


def chat(
    tmp_path: Path, *arguments: str, piped: bytes = b"", **environ: str
) -> "subprocess.CompletedProcess[str]":
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("MYNA_", "OPENAI_"))
    }
    ran = subprocess.run(
        [sys.executable, "-m", "myna.cli", "chat", *arguments],
        input=piped,
        capture_output=True,
        env=inherited | {"MYNA_HOME": str(tmp_path)} | environ,
        timeout=180,
        check=False,
    )
    return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def test_the_question_and_what_is_piped_in_are_one(tmp_path: Path, script: Script) -> None:
    script.say("**It** ", "adds\n\n```py\na\n```")
    ran = chat(tmp_path, "Explain:", piped="diff 一\n".encode(), OPENAI_BASE_URL=script.base_url)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("**It** adds\n\n```py\na\n```\n", "", 0)
    assert script.asked[0]["messages"] == [{"role": "user", "content": "Explain:\n\ndiff 一\n"}]


def test_options_make_the_request(tmp_path: Path, script: Script) -> None:
    script.answers.append([piece(reasoning_content="Hm."), piece(content="Yes"), piece("length"), "[DONE]"])
    options = ["--system", "Be brief.", "--set", "temperature=0", "--set", "max_tokens=1", "-m", "bird-2"]
    ran = chat(
        tmp_path, *options, "--stats", piped=b"Hi", OPENAI_BASE_URL=script.base_url, OPENAI_API_KEY="sk-1"
    )
    assert (ran.stdout, ran.returncode) == ("Yes\n", 0)
    assert "per second, the first after" in ran.stderr
    assert "--set max_tokens=NUMBER" in ran.stderr
    asked = script.asked[0]
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("bird-2", 0, 1)
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert script.keys == ["Bearer sk-1"]


def test_a_kept_conversation_goes_on(tmp_path: Path, script: Script) -> None:
    kept = tmp_path / "talk.json"
    kept.write_text(
        '{"model": "bird-2", "messages": [{"role": "user", "content": "Hi"},'
        '{"role": "assistant", "content": "Hello."}]}'
    )
    script.say("Yes.")
    assert chat(tmp_path, "More?", "--load", str(kept), OPENAI_BASE_URL=script.base_url).returncode == 0
    assert [message["content"] for message in script.asked[0]["messages"]] == ["Hi", "Hello.", "More?"]
    assert script.asked[0]["model"] == "bird-2"


@pytest.mark.parametrize(
    ("arguments", "piped", "said"),
    [
        ((), b"", "There is no question; write it after `myna chat`, or pipe it in."),
        ((), b"ab\xff\xfe", "The piped input is not UTF-8 text (byte 2 is 0xff); convert it first"),
        (("--set", "tmp"), b"Hi", "Write --set as NAME=VALUE, not tmp."),
        (("--set", "heat=1"), b"Hi", "There is no parameter heat;"),
        (("--load", "nothing.json"), b"Hi", "There is no file nothing.json."),
        (("--base-url", "localhost"), b"Hi", "is not a base URL"),
        (("--base-url", "http://127.0.0.1:9/v1"), b"Hi", "Can't reach http://127.0.0.1:9/v1"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], piped: bytes, said: str
) -> None:
    ran = chat(tmp_path, *arguments, piped=piped, MYNA_PORT="9")
    assert said in ran.stderr
    assert (ran.stdout, ran.stderr.count("\n"), ran.returncode) == ("", 1, 1)


def test_without_a_server_one_is_started_for_the_chat(tmp_path: Path) -> None:
    ran = chat(tmp_path, "[[say caw caw]]", MYNA_PORT="9", MYNA_ENGINE="fake")
    assert (ran.stdout, ran.returncode) == ("caw caw\n", 0)
    assert ran.stderr.startswith("No server is running; starting one for this chat …\n")
    assert not list((tmp_path / "servers").iterdir())


def test_a_server_that_can_t_start_says_why(tmp_path: Path) -> None:
    ran = chat(tmp_path, "Hi", MYNA_PORT="9", MYNA_MODEL="/no/such/file.gguf")
    assert "/no/such/file.gguf" in ran.stderr
    assert "none could be started" in ran.stderr.splitlines()[-1]
    assert (ran.stdout, ran.returncode) == ("", 1)


def test_a_refused_key_says_where_keys_come_from(tmp_path: Path, script: Script) -> None:
    script.refuse(401, "Incorrect API key provided: sk-x. You can find your API key elsewhere.")
    ran = chat(tmp_path, "Hi", OPENAI_BASE_URL=script.base_url)
    assert ran.stderr == (
        "myna: The server rejected the key (Incorrect API key provided: sk-x); "
        "set OPENAI_API_KEY to one of its own.\n"
    )
    assert ran.returncode == 1


def test_an_answer_that_breaks_off_is_an_error_after_what_came(tmp_path: Path, script: Script) -> None:
    script.answers.append([piece(content="Half")])
    ran = chat(tmp_path, "Hi", OPENAI_BASE_URL=script.base_url)
    assert (ran.stdout, ran.returncode) == ("Half\n", 1)
    assert "ended the answer before it was complete" in ran.stderr


def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path, script: Script) -> None:
    script.say(*["word " * 1000] * 200)
    environ = os.environ | {"MYNA_HOME": str(tmp_path), "OPENAI_BASE_URL": script.base_url}
    with subprocess.Popen(
        [sys.executable, "-m", "myna.cli", "chat", "Hi"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.read(5) == b"word "
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 1


def test_ctrl_c_ends_it_with_the_shell_s_code(tmp_path: Path, script: Script) -> None:
    script.hold = threading.Event()
    script.answers.append([piece(content="Half")])
    environ = os.environ | {"MYNA_HOME": str(tmp_path), "OPENAI_BASE_URL": script.base_url}
    with subprocess.Popen(
        [sys.executable, "-m", "myna.cli", "chat", "Hi"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.read(4) == b"Half"
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
        script.hold.set()
    assert (out, err, running.returncode) == (b"\n", b"", 130)
