"""The conversation as code: what each piece of code sends is the body that the page sends."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.web.playing import Player

# The official package for Node needs to be installed; what matters is the object that it is called with.
STAND_IN = """
export default class OpenAI {
  constructor({ baseURL }) {
    const post = (path) => async (body) => {
      await fetch(`${baseURL}/${path}`, { method: "POST", body: JSON.stringify(body) });
      return body.stream ? (async function* () {})() : { choices: [], output: [] };
    };
    this.chat = { completions: { create: post("chat/completions") } };
    this.completions = { create: post("completions") };
    this.responses = { create: post("responses") };
  }
}
"""


class Recorder(BaseHTTPRequestHandler):
    """Answers with an empty stream or answer, and keeps what was sent."""

    got: list[tuple[str, Any]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.got.append((self.path, body))
        is_chat = "chat" in self.path
        whole = {"id": "x", "object": "chat.completion" if is_chat else "text_completion", "created": 0}
        answer = json.dumps({**whole, "model": "m", "choices": [], "output": []})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if body.get("stream") else "application/json")
        self.end_headers()
        self.wfile.write(b"data: [DONE]\n\n" if body.get("stream") else answer.encode())

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def recorder() -> Iterator[str]:
    Recorder.got.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def code(player: Player, kind: str) -> str:
    """The code of that kind, as the copy button copies it."""
    player.button("Show as code").click()
    dialog = player.page.get_by_role("dialog")
    dialog.get_by_role("button", name=kind, exact=True).click()
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    copied: str = player.page.evaluate("navigator.clipboard.readText()")
    player.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    return copied


def run(text: str, kind: str, folder: Path) -> None:
    environment = {**os.environ, "OPENAI_API_KEY": "sk-x"}
    if kind == "Python":
        command = [sys.executable, "-c", text]
    elif kind == "Node":
        (folder / "node_modules" / "openai").mkdir(parents=True, exist_ok=True)
        (folder / "node_modules" / "openai" / "index.js").write_text(STAND_IN, encoding="utf-8")
        package = '{"name": "openai", "type": "module", "main": "index.js"}'
        (folder / "node_modules" / "openai" / "package.json").write_text(package, encoding="utf-8")
        (folder / "ask.mjs").write_text(text, encoding="utf-8")
        command = ["node", "ask.mjs"]
    else:
        command = ["sh", "-c", text]
    program = {"Node": "node", "curl": "curl"}.get(kind, sys.executable)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; install it to run this code")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


AWKWARD = "It's \"quoted\" \\ back\\n, $HOME `ls` ${x}\n'''JSON\n你好 🙂 \u2028 </script>"


def fill_chat(player: Player) -> None:
    """Every kind of value in a chat."""
    player.page.get_by_text("System prompt").click()
    player.page.get_by_label("System prompt").fill(AWKWARD)
    for name, value in {
        "temperature": "0.25",
        "top_p": "0.9",
        "top_k": "40",
        "min_p": "0.05",
        "seed": "-3",
        "max_completion_tokens": "8",
        "stop": "END\n\\n",
        "user": AWKWARD.replace("\n", " "),
        "logit_bias": '{"12": -5.5}',
        "metadata": '{"a key": "it\'s", "__proto__": "x"}',
        "tools": '[{"type": "function", "function": {"name": "f", "strict": null, "description": "d\'x"}}]',
    }.items():
        player.field(name).fill(value)
    player.field("tool_choice").select_option("none")
    player.field("parallel_tool_calls").uncheck()
    player.field("ignore_eos").check()
    player.field("logprobs").check()
    player.field("top_logprobs").fill("2")


@pytest.mark.parametrize("is_streamed", [True, False], ids=["streamed", "whole"])
def test_chat_code_sends_what_the_page_sends(
    player: Player, recorder: str, tmp_path: Path, is_streamed: bool
) -> None:
    fill_chat(player)
    if not is_streamed:
        player.field("stream").uncheck()
    player.ask(AWKWARD)
    body = player.sent[-1]
    assert len(body) == (20 if is_streamed else 18)
    for kind in ("Python", "Node", "curl"):
        text = code(player, kind)
        assert "sk-" not in text
        run(text.replace(f"{player.visitor.root}v1", recorder), kind, tmp_path)
        assert Recorder.got[-1] == ("/v1/chat/completions", body), kind
    assert len(Recorder.got) == 3


def test_completion_code_sends_what_the_page_sends(player: Player, recorder: str, tmp_path: Path) -> None:
    player.choose("Completion")
    player.page.get_by_label("Text to continue").fill(AWKWARD)
    for name, value in {"best_of": "2", "max_tokens": "4", "logprobs": "1", "min_p": "0.1"}.items():
        player.field(name).fill(value)
    player.field("echo").check()
    player.button("Complete").click()
    player.ended()
    body = player.sent[-1]
    assert "stream" not in body
    for kind in ("Python", "Node", "curl"):
        run(code(player, kind).replace(f"{player.visitor.root}v1", recorder), kind, tmp_path)
        assert Recorder.got[-1] == ("/v1/completions", body), kind


def test_code_of_settings_that_cannot_be_sent_says_which(player: Player) -> None:
    player.field("tools").fill("[")
    player.button("Show as code").click()
    expect(player.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("Tools")
