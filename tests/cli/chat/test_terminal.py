"""`myna chat` as users see it: in tmux, against a live server whose engine says what the prompt asks for."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.chat.scripted import piece, scripted
from tests.cli.chat.terminal import needs_tmux, terminal
from tests.e2e.server import KEY, ServerProcess, serving

pytestmark = needs_tmux


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("server"), "--engine", "fake") as server:
        yield server


@pytest.fixture
def environ(server: ServerProcess) -> dict[str, str]:
    return {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY}


def test_a_chat_from_its_first_line_to_its_last(tmp_path: Path, environ: dict[str, str]) -> None:
    with terminal(tmp_path, "chat", environ) as screen:
        screen.wait_for("fake at http://127.0.0.1:")
        screen.type("/mod", "Enter")
        screen.wait_for("There is no command /mod; did you mean /model?", prompts=True)
        screen.type("[[say **bold** and `code`]]", "Enter")
        screen.wait_for("bold and code\n", prompts=True)
        screen.type("/stats on", "Enter")
        screen.wait_for("The speed of each answer is shown.", prompts=True)
        screen.type("/retry", "Enter")
        shown = screen.wait_for(" per second, the first after ", prompts=True)
        assert shown.count("bold and code\n") == 2
        screen.type("C-d")
        screen.wait_for("code=0")
    history = tmp_path / "home" / "chat_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "+/retry" in history.read_text(encoding="utf-8")


def test_ctrl_c_stops_the_answer_and_twice_leaves(tmp_path: Path, environ: dict[str, str]) -> None:
    with terminal(tmp_path, "chat", environ) as screen:
        screen.wait_for("\n>", prompts=True)
        # It must still be running at the Ctrl-C, however long that takes from here to the program.
        screen.type(f"[[slow 200]] [[say one two{' three' * 200}]]", "Enter")
        screen.wait_for("one two", times=2)  # the question and its answer
        screen.type("C-c")
        shown = screen.wait_for("Stopped; the partial answer is kept.", prompts=True)
        assert "^C" not in shown
        screen.type("/save talk.json", "Enter")
        screen.wait_for("Saved to talk.json.", prompts=True)
        assert '"stopped": true' in (tmp_path / "talk.json").read_text(encoding="utf-8")
        screen.type("half a line", "C-c", "C-c")
        screen.wait_for("Press Ctrl-C again, or Ctrl-D, to quit.")
        screen.type("C-c")
        screen.wait_for("code=0")


def test_several_lines_a_paste_and_the_history(tmp_path: Path, environ: dict[str, str]) -> None:
    with terminal(tmp_path, "chat", environ) as screen:
        screen.wait_for("\n>", prompts=True)
        screen.type("first \\", "Enter", "[[say one]]", "Enter")
        screen.wait_for("\none\n", prompts=True)
        screen.type("second", "M-Enter", "[[say two]]", "Enter")
        screen.wait_for("\ntwo\n", prompts=True)
        screen.paste("pasted\n[[say three]]\nend")
        screen.wait_for("  end")
        screen.type("Enter")
        screen.wait_for("\nthree\n", prompts=True)
        screen.type("C-r", "first")
        screen.wait_for("[[say one]]", times=2)
        screen.type("Enter")
        screen.wait_for("> first", times=2)
        screen.type("C-c", "/sta", "Tab")
        screen.wait_for("> /stats")
        screen.type(" on", "Enter")
        screen.wait_for("The speed of each answer is shown.", prompts=True)
        screen.type("/model f", "Tab")
        screen.wait_for("> /model fake")
        screen.type("Enter")
        screen.wait_for("fake answers from now on.")


def test_what_is_typed_during_an_answer_waits_for_the_next_prompt(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    with terminal(tmp_path, "chat", environ) as screen:
        screen.wait_for("\n>", prompts=True)
        screen.type("[[slow 200]] [[say one two three four five]]", "Enter")
        screen.wait_for("one two", times=2)
        screen.paste("pasted\n[[slow 1]] [[say six]]")
        screen.type("M-Enter", "last line", "Enter")
        shown = screen.wait_for("\nsix\n", prompts=True)
    assert "one two three four five\n\n> pasted\n  [[slow 1]] [[say six]]\n  last line\nsix\n" in shown


@pytest.mark.parametrize("columns", [40, 80])
def test_chinese_and_code_are_whole_in_any_width(
    tmp_path: Path, columns: int, environ: dict[str, str]
) -> None:
    text = "快速排序是一种高效的排序算法，由托尼·霍尔在一九六〇年提出，平均复杂度很低。"
    code = "def quicksort(numbers: list[int]) -> list[int]: return sorted(numbers)  # 已经有序"
    markdown = f"## 标题\n\n{text}\n\n```python\n{code}\n```\n\n1. 一\n2. 二\n"
    parts = [piece(content=markdown[start : start + 3]) for start in range(0, len(markdown), 3)]
    with scripted() as script:
        script.answers.append([*parts, piece("stop"), "[DONE]"])
        environ = {"OPENAI_BASE_URL": script.base_url, "LC_ALL": "C.UTF-8"}
        with terminal(tmp_path, "chat", environ, columns=columns, rows=12) as screen:
            screen.wait_for("\n>", prompts=True)
            screen.type("你好", "Enter")
            screen.wait_for("2 二")
            shown = screen.screen(joined=False)
    assert "> 你好" in shown
    letters = "".join(shown.split())
    assert text in letters
    assert "".join(code.split()) in letters
    assert shown.count("快速排序是") == 1
    assert shown.count("```python") == 1


@pytest.mark.parametrize("plain", [{"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=["dumb", "no colour"])
def test_a_terminal_without_colour_gets_none(
    tmp_path: Path, environ: dict[str, str], plain: dict[str, str]
) -> None:
    with terminal(tmp_path, "chat", environ | plain) as screen:
        screen.wait_for("\n>", prompts=True)
        screen.type("[[say # Big]]", "Enter")
        screen.wait_for("\nBig\n" if "NO_COLOR" in plain else "\n# Big\n", prompts=True)
        screen.type("/bogus", "Enter")
        screen.wait_for("There is no command /bogus", prompts=True)
        coloured = screen._tmux("capture-pane", "-e", "-p")
    assert re.search(r"\x1b\[[\d;]*\b(3|4|9|10)[0-8]\b", coloured) is None
    assert "Big" in coloured


def test_a_terminal_speaks_the_locale_s_language(tmp_path: Path, environ: dict[str, str]) -> None:
    chinese = {"LC_ALL": "", "LANG": "zh_CN.UTF-8"}
    with terminal(tmp_path, "chat", environ | chinese) as screen:
        screen.wait_for("输入 /help 查看命令")
        screen.type("/help", "Enter")
        screen.wait_for("重新问上一个问题")


def test_one_question_is_answered_in_place(tmp_path: Path, environ: dict[str, str]) -> None:
    with terminal(tmp_path, "chat '[[say # Big]]'", environ) as screen:
        screen.wait_for("code=0")
        assert "Big\ncode=0" in screen.screen()


def test_a_server_is_started_where_none_runs(tmp_path: Path) -> None:
    with terminal(tmp_path, "chat", {"MYNA_PORT": "9", "MYNA_ENGINE": "fake"}) as screen:
        screen.wait_for("starting one for this chat")
        screen.wait_for("/help")
