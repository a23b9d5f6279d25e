"""Markdown as rows of a terminal. Nothing of the text is lost: what rich would drop (HTML, link
definitions, backslashes of formulas, line breaks) is shown as it was written."""

import re
from typing import Final

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.syntax import Syntax
from rich.text import Text

_THEME: Final = "ansi_dark"  # the terminal's own sixteen colours, so that any background goes with it
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


class _Code(CodeBlock):
    """Highlighted, between its dim fences, without a frame or padding: it can be copied from the screen."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = Syntax(str(self.text).rstrip("\n"), self.lexer_name, theme=_THEME, background_color="default")
        name = "" if self.lexer_name == "text" else self.lexer_name
        shown = Text(f"```{name}\n", style="dim")
        shown.append_text(code.highlight(code.code))
        shown.rstrip()
        shown.append("\n```", style="dim")
        shown.overflow = "fold"
        yield shown


class _Heading(Heading):
    """Bold, at the left, without a box."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        self.text.stylize("bold")
        yield self.text


class ChatMarkdown(Markdown):
    """Markdown of an answer, whole or still growing."""

    elements = Markdown.elements | {"fence": _Code, "code_block": _Code, "heading_open": _Heading}

    def __init__(self, text: str) -> None:
        super().__init__("", code_theme=_THEME, hyperlinks=False)
        self.markup = text
        self.parsed = _PARSER.parse(text)
        for token in self.parsed:
            for child in token.children or ():
                if child.type == "softbreak":
                    child.type = "hardbreak"
                elif child.type == "image":
                    child.type = "text"
                    child.content = f"![{child.content}]({child.attrs.get('src', '')})"


_PARSER: Final = (
    MarkdownIt("commonmark", {"html": False})
    .enable(["strikethrough", "table"])
    .disable(["reference", "escape", "html_block", "html_inline"])
)


def rows_of(console: Console, shown: ChatMarkdown | Text, width: int) -> list[str]:
    """The rows, with their colours as escape sequences; none is wider than `width` cells."""
    with console.capture() as captured:
        console.print(shown, width=width, overflow="fold", end="")
    rows = [row.rstrip(" ") for row in captured.get().split("\n")]
    while rows and _is_blank(rows[-1]):
        rows.pop()
    while rows and _is_blank(rows[0]):
        rows.pop(0)
    return rows


def _is_blank(row: str) -> bool:
    return not _COLOURS.sub("", row).strip()
