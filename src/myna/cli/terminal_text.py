"""Text from models, made safe for a terminal."""

import re
from typing import Final

# What would move the cursor, change colours or ring: a model's text may not. Tabs and line ends stay.
_CONTROLS: Final = re.compile(r"\r(?=\n)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Without control characters."""
    return _CONTROLS.sub("", text)
