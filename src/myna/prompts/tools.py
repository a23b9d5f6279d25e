"""What all tools share."""

from typing import Final

NO_PARAMETERS: Final = '{"type":"object","properties":{},"additionalProperties":false}'
"""The schema of a function that takes none."""
