"""The language of the terminal. All of Myna writes English, since the API must; what a person reads in the
shell is translated here, at its edge: a message is matched with the templates of a table, and its fields
are put into the translation. So no layer below knows of languages, and one English text serves both."""

import os
import re
from collections.abc import Mapping
from functools import cache
from string import Formatter
from typing import Final

# As gettext has it: the first of these that is set decides.
_VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")


def is_chinese(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the locale asks for Chinese. The locale need not be installed: its name is enough."""
    name = next((environ[variable] for variable in _VARIABLES if environ.get(variable)), "")
    return re.match(r"zh([_.@-]|$)", name) is not None


def translated(message: str) -> str:
    """The message in the language of the locale; as it is where the table lacks it."""
    return in_chinese(message) if is_chinese() else message


def in_chinese(message: str) -> str:
    from myna.cli.chinese import MESSAGES

    if message in MESSAGES:
        return MESSAGES[message]
    for template in _templates():
        if template.anchor in message and (match := template.pattern.fullmatch(message)):
            fields = [in_chinese(field) for field in match.groups()]
            return MESSAGES[template.text].format(*fields)
    return message


class Template:
    """A message with fields `{0}`, `{1}`, … in this order, as a pattern that finds them in a text."""

    def __init__(self, text: str) -> None:
        parts = list(Formatter().parse(text))
        literals = [literal for literal, *_ in parts]
        self.text = text
        self.num_literal = sum(map(len, literals))
        self.anchor = max(literals, key=len)  # found first, since most messages lack it
        self.expression = "".join(
            re.escape(literal) + ("(.*?)" if field is not None else "") for literal, field, *_ in parts
        )

    @property
    def pattern(self) -> "re.Pattern[str]":
        return _compiled(self.expression)


@cache
def _compiled(expression: str) -> "re.Pattern[str]":
    return re.compile(expression, re.DOTALL)


@cache
def _templates() -> tuple[Template, ...]:
    """Those with fields, the most particular first."""
    from myna.cli.chinese import MESSAGES

    found = [Template(text) for text in MESSAGES if "{0}" in text]
    return tuple(sorted(found, key=lambda template: -template.num_literal))
