"""What is drawn while an answer comes: the same in the end however it was cut, and nothing lost."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.cli.chat.screen import Screen

from myna.cli.chat.blocks import BlockSplitter
from myna.cli.chat.drawing import TailDrawer
from myna.cli.chat.markdown import ChatMarkdown, rows_of
from myna.cli.chat.views import MarkdownView, PlainView
from myna.cli.terminal_text import printable

PIECES = [
    "# 快速排序 Quick sort\n\n",
    "快速排序由 **Tony Hoare** 提出，它的基本思想是*分治*。\n第二行 with `inline code` and a <b>tag</b>.\n\n",
    "```python\ndef sort(a):\n    return a  # 已经有序\n\n\nprint(1)\n```\n",
    "~~~\ntilde ``` inside\n~~~\n\n",
    "````md\n```\nnested\n```\n````\n",
    "1. 第一步\n2. second\n\n   ```sh\n   echo hi\n   ```\n\n   continued\n\n3. third\n\n",
    "- a\n- b\n  - c\n\nafter\n\n",
    "| name | value |\n|---|---|\n| 复杂度 | O(n) |\n\n",
    "> quoted\n> words\n\n",
    "Formula \\(x^2\\) and \\[ y \\].\n\n",
    "<think>\nhm\n</think>\n\n",
    "[ref]: http://ref.example\n\n![pic](http://a.example/b.png) [link](http://c.example)\n\n",
    "wide " * 30 + "\n\n",
    "    indented code\n\n",
    "***\n\n",
    "Setext\n===\n\n",
    "trailing  \nbreak\n",
    "```js\nunclosed(",
]
documents = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)


def cut(text: str, sizes: list[int]) -> list[str]:
    parts, start = [], 0
    for size in sizes * len(text):
        if start >= len(text):
            break
        parts.append(text[start : start + size])
        start += size
    return parts


@given(documents, st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_blocks_are_all_of_the_text_however_it_is_cut(text: str, sizes: list[int]) -> None:
    splitter = BlockSplitter()
    blocks = [block for part in cut(text, sizes) for block in splitter.push(part)] + splitter.finish()
    lines = [line for line in text.split("\n") if line.strip()]
    assert [line for block in blocks for line in block.split("\n") if line.strip()] == lines


@given(documents)
def test_code_is_never_cut_in_two(text: str) -> None:
    splitter = BlockSplitter()
    blocks = splitter.push(text + "\n```\n\nend\n\n") + splitter.finish()
    assert [block for block in blocks if "def sort" in block and "print(1)" not in block] == []


def view_on(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> MarkdownView:
    console = Console(
        file=io.StringIO(), width=screen.columns, height=screen.height, force_terminal=True, highlight=False
    )
    view = MarkdownView(console)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setattr(view._drawer, "_write", screen.write)
    return view


def shown(text: str, sizes: list[int], columns: int, height: int) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        screen = Screen(columns, height)
        view = view_on(screen, patch)
        view.wait()
        for part in cut(text, sizes):
            view.say(part)
        view.finish()
    assert screen.column == 0
    return screen.text()


@given(documents, st.lists(st.integers(1, 30), min_size=1, max_size=4), st.sampled_from([24, 40, 80]))
def test_the_screen_ends_the_same_however_the_answer_came(text: str, sizes: list[int], columns: int) -> None:
    assert shown(text, sizes, columns, 200) == shown(text, [len(text)], columns, 200)


@given(documents, st.lists(st.integers(1, 30), min_size=1, max_size=4), st.sampled_from([40, 80]))
def test_no_word_is_lost_on_a_low_screen(text: str, sizes: list[int], columns: int) -> None:
    words = re.findall(r"[^\W_]+", re.sub(r"```(\w+)|~~~", "", text))
    letters = "".join(re.findall(r"[^\W_]", "".join(shown(text, sizes, columns, 6))))
    assert [word for word in words if word not in letters and word not in ("1", "2", "3")] == []


def test_thoughts_come_dimmed_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(40, 20)
    view = view_on(screen, monkeypatch)
    written: list[str] = []

    def write(text: str) -> None:
        written.append(text)
        screen.write(text)

    monkeypatch.setattr(view._drawer, "_write", write)
    view.think("Let me ")
    view.think("think.")
    view.say("Four.")
    view.finish()
    assert screen.text() == ["Let me think.", "", "Four."]
    assert "\x1b[2;3mLet me think." in "".join(written)


def test_only_what_changed_is_drawn_again() -> None:
    written: list[str] = []
    drawer = TailDrawer(written.append, lambda: (40, 20))
    drawer.draw(["one", "two"])
    drawer.draw(["one", "two three"])
    assert written[-1] == "\rtwo three\x1b[K\x1b[J"
    drawer.draw(["one", "two three"])
    assert len(written) == 2
    drawer.draw(["one", "two three", "four"])
    assert written[-1] == "\r\nfour\x1b[K\x1b[J"


def test_a_window_made_narrower_is_drawn_over_as_it_wraps() -> None:
    written: list[str] = []
    columns = [20]
    drawer = TailDrawer(written.append, lambda: (columns[0], 20))
    drawer.draw(["0123456789", "ab"])
    columns[0] = 5
    drawer.draw(["01234", "56789", "ab"])
    assert written[-1].startswith("\r\x1b[2A01234")  # the first row takes two of the narrow screen's


def test_a_model_s_control_characters_never_reach_the_terminal() -> None:
    assert printable("a\x1b]0;title\x07b\x9bc\r\nd\te\x08") == "a]0;titlebc\nd\te"


def test_plain_text_is_as_it_came_and_ends_its_line() -> None:
    out = io.StringIO()
    view = PlainView(out, shows_thoughts=False)
    view.think("hidden")
    view.say("**a**\x1b[1m")
    view.say("b")
    view.finish()
    assert out.getvalue() == "**a**\x1b[1mb\n"  # a file gets all of it


def test_rows_are_narrow_enough_and_code_keeps_its_fences() -> None:
    console = Console(width=30, force_terminal=True, color_system="standard")
    rows = rows_of(console, ChatMarkdown("```python\nx = 1\n```"), 29)
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", row) for row in rows]
    assert plain == ["```python", "x = 1", "```"]
    assert any("\x1b[" in row for row in rows)
