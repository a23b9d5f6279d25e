"""Agents' real programs, whose model is scripted: the fake engine says what the last script in its prompt
asks for, and what a tool returns is the script of the next step. So each answer shows that the tool ran and
its result was read."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_examples import CLIENTS, needs_node, run

from conftest import serving

AGENTS_SDK = CLIENTS / "agents-sdk"
PROGRAMS = {"codex": "@openai/codex/bin/codex.js", "claude": "@anthropic-ai/claude-code/cli-wrapper.cjs"}
NOTES = "[[say The notes are read.]]\n"
SCRIPTED = [
    "4 All steps are done.",
    "Writer Ciao from the writer.",
    "response: The word is nest.",
    "conversation: The word is wing.",
]


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server whose fake model reads and writes calls as Hermes and Qwen do."""
    home = tmp_path_factory.mktemp("home")
    template = json.dumps(str(Path(__file__).with_name("tools.jinja")))
    (home / "config.toml").write_text(
        f"[models]\nfake = {{ chat_template = {template} }}\n", encoding="utf-8"
    )
    options = ("--engine", "fake", "--context", "262144")
    with serving(home, *options, MYNA_CONFIG=str(home / "config.toml")) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_text(NOTES, encoding="utf-8")
    return tmp_path


def program(name: str) -> tuple[str, str]:
    """The command that starts it, also where its package's install script didn't run."""
    path = CLIENTS / "coding-agents" / "node_modules" / PROGRAMS[name]
    node = needs_node()
    assert path.exists(), f"{name} is missing; scripts/test-clients installs it"
    return node, str(path)


def call(name: str, **arguments: str) -> str:
    return f"[[say <tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>]]"


def check(lines: list[str], person: str) -> None:
    assert [*lines[:2], *lines[3:5]] == SCRIPTED
    assert lines[2] == person
    assert lines[5].startswith("cancelled: 1 ") and lines[5].lower().endswith("true")


@pytest.mark.usefixtures("base_url")
def test_the_agents_sdk_loops_hands_over_resumes_and_cancels() -> None:
    python = Path(sys.prefix) / "agents-sdk" / "bin" / "python"
    check(run(str(python), "scripted.py", folder=AGENTS_SDK).splitlines(), "name='Ann' age=34")


@pytest.mark.usefixtures("base_url")
def test_the_agents_sdk_for_node_loops_hands_over_resumes_and_cancels() -> None:
    check(run(needs_node(), "scripted.mjs", folder=AGENTS_SDK).splitlines(), "{ name: 'Ann', age: 34 }")


def test_codex_runs_a_command_and_reads_its_output(base_url: str, folder: Path) -> None:
    home = folder / "codex"
    home.mkdir()
    config = (CLIENTS / "codex" / "config.toml").read_text(encoding="utf-8")
    config = config.replace("http://127.0.0.1:8000/v1", base_url).replace(
        "qwen2.5-coder-1.5b-instruct", "fake"
    )
    (home / "config.toml").write_text(config, encoding="utf-8")
    options = ("exec", "--skip-git-repo-check", "--sandbox", "read-only", "--json")
    said = run(
        *program("codex"),
        *options,
        call("exec_command", cmd="cat notes.txt"),
        folder=folder,
        CODEX_HOME=str(home),
    )
    items = [
        event["item"] for line in said.splitlines() if (event := json.loads(line))["type"] == "item.completed"
    ]
    (command,) = (item for item in items if item["type"] == "command_execution")
    assert command["aggregated_output"].endswith(NOTES)  # after what a login shell may say
    assert command["exit_code"] == 0
    assert items[-1]["text"] == "The notes are read."


def test_claude_code_runs_a_command_and_reads_its_output(base_url: str, folder: Path) -> None:
    settings = json.loads((CLIENTS / "claude-code" / "settings.json").read_text(encoding="utf-8"))
    environment = settings["env"] | {
        "ANTHROPIC_BASE_URL": base_url.removesuffix("/v1"),
        "ANTHROPIC_AUTH_TOKEN": "sk-clients-0123456789abcdef",
        "CLAUDE_CONFIG_DIR": str(folder / "claude"),
    }
    options = ("-p", "--allowedTools", "Bash(cat:*)", "--output-format", "json")
    prompt = call("Bash", command="cat notes.txt", description="Read the notes")
    said = json.loads(run(*program("claude"), *options, prompt, folder=folder, **environment))
    assert (said["result"], said["num_turns"]) == ("The notes are read.", 2)
    assert said["usage"]["cache_read_input_tokens"] > said["usage"]["cache_creation_input_tokens"] // 2
