"""The texts of Functionary 3.2's format that several layers need: each part of an answer names its recipient,
behind a mark with which the prompt already ends."""

from typing import Final

LEAD: Final = ">>>"
TO_ALL: Final = "all\n"  # the recipient of plain text
