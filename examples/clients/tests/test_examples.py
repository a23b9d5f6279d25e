"""Every example prints what it should; the answers of a small model at temperature 0 are known."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent.parent
NODE_TESTS = CLIENTS.parent.parent / "tests" / "node"


def run(*command: str, folder: Path = CLIENTS, **environment: str) -> str:
    """The output of the command, which must succeed."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran.stdout


def needs_node() -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    return node


TEXTS = {
    "birds.txt": "Birds sing in the trees where they live, early in the morning.",
    "bread.txt": "Bread is made of flour, water and salt, and baked in an oven.",
    "trains.txt": "A train leaves the station at noon and needs two hours to the sea.",
}


@pytest.mark.usefixtures("embedding_server")
@pytest.mark.parametrize("program", ["langchain_retrieval.py", "llamaindex_retrieval.py"])
def test_retrieval(program: str, tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    first, second = run(sys.executable, program, str(tmp_path), "Where do birds live and sing?").splitlines()
    assert first.split(" ", 1)[1] == f"birds.txt: {TEXTS['birds.txt']}"
    assert float(first.split()[0]) > float(second.split()[0])


@pytest.mark.usefixtures("server")
class TestExamples:
    def test_langchain(self) -> None:
        streamed, structured = run(sys.executable, "langchain_chat.py").splitlines()
        assert "two, three, four" in streamed.lower()
        assert structured == "Paris / France"

    def test_batch(self) -> None:
        lines = run(sys.executable, "batch.py").splitlines()
        assert [line.split() for line in lines[:3]] == [
            ["France:", "Paris"],
            ["Japan:", "Tokyo"],
            ["Italy:", "Rome"],
        ]

    def test_instructor(self) -> None:
        assert run(sys.executable, "instructor_extract.py") == "Ann 34\n"

    def test_pydantic_ai(self) -> None:
        assert run(sys.executable, "pydantic_ai_agent.py").startswith("total=5\n")

    def test_litellm(self) -> None:
        lines = run(sys.executable, "litellm_completion.py", LITELLM_LOCAL_MODEL_COST_MAP="True").splitlines()
        assert lines[0].startswith("Bonjour")
        assert lines[1] == lines[0]
        assert lines[2] == " four, five,"

    def test_llm(self, tmp_path: Path) -> None:
        first, _, rest = run("llm/run.sh", LLM_USER_PATH=str(tmp_path)).partition("\n")
        assert "Hola" in first
        assert json.loads(rest) == {"name": "Ann", "age": 34}

    def test_lm_eval_scores_texts_and_token_ids_alike(self, weights: Path) -> None:
        said = run(
            sys.executable, "lm-eval/run.py", str(weights), HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1"
        )
        assert said.splitlines()[-2:] == ["text 1.0", "token ids 1.0"]

    def test_anthropic(self) -> None:
        lines = run(sys.executable, "anthropic_messages.py").splitlines()
        assert "two" in lines[0].lower()
        assert lines[1] == "get_weather {'city': 'Paris'}"
        assert lines[2].split()[0] in ("end_turn", "max_tokens")
        assert lines[3] == "True"

    def test_vercel_ai(self) -> None:
        lines = run(needs_node(), "index.mjs", folder=CLIENTS / "vercel-ai").splitlines()
        assert lines[0].startswith("Ciao")
        assert lines[1:] == ["21 degrees in Paris", "Ann 34"]

    def test_the_agents_sdk(self) -> None:
        python = Path(sys.prefix) / "agents-sdk" / "bin" / "python"
        items, agent, person, streamed = run(
            str(python), "agent.py", folder=CLIENTS / "agents-sdk"
        ).splitlines()
        assert items.startswith("['tool_call_item', 'tool_call_output_item'")
        assert (agent, person) == ("Writer", "name='Ann' age=34")
        assert "iao" in streamed

    def test_the_agents_sdk_for_node(self) -> None:
        items, agent, person, streamed = run(
            needs_node(), "agent.mjs", folder=CLIENTS / "agents-sdk"
        ).splitlines()
        assert items.startswith("tool_call_item tool_call_output_item")
        assert (agent, person) == ("Writer", "{ name: 'Ann', age: 34 }")
        assert "iao" in streamed

    def test_the_official_package_for_node(self) -> None:
        said = run(needs_node(), "--test", folder=NODE_TESTS)
        assert "# fail 0" in said
        assert "# pass 0" not in said
