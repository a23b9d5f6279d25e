"""The language of the terminal. All of Myna writes English, since the API must; texts that are marked with
`N_` carry their template, and it is looked up here, at the edge, in the catalogue of the locale."""

import gettext
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from myna.core.translatable import N_, Translatable

# The catalogues' folder, language and domain: locale/zh_CN/LC_MESSAGES/myna.mo.
FOLDER: Final = Path(__file__).with_name("locale")
CHINESE: Final = "zh_CN"
DOMAIN: Final = "myna"
# As gettext has it: the first of these that is set decides.
_VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")


def is_chinese(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the locale asks for Chinese. The locale need not be installed: its name is enough."""
    name = next((environ[variable] for variable in _VARIABLES if environ.get(variable)), "")
    return re.match(r"zh([_.@-]|$)", name) is not None


def _(template: str, /, **arguments: object) -> str:
    """A text of the command line's own, in the language of the locale."""
    return translated(N_(template, **arguments))


def translated(text: str | Translatable) -> str:
    """The text in the language of the locale; in English where the catalogue lacks it."""
    return in_chinese(text) if is_chinese() else str(text)


def in_chinese(text: str | Translatable) -> str:
    """Plain text, such as the words of a library or a server, is looked up as a whole."""
    if isinstance(text, str):
        return _look_up(text)
    arguments = {
        name: in_chinese(value) if isinstance(value, Translatable) else value
        for name, value in text.arguments
    }
    template = _look_up(text.template)
    return template.format(**arguments) if arguments else template


def _look_up(template: str) -> str:
    return _catalogue().gettext(template) if template else ""  # "" is the key of a catalogue's header


@cache
def _catalogue() -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, FOLDER, [CHINESE])
