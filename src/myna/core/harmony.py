"""The texts of gpt-oss's harmony format that several layers need."""

from typing import Final

START: Final = "<|start|>assistant"
MESSAGE: Final = "<|message|>"
END: Final = "<|end|>"
ANALYSIS: Final = "<|channel|>analysis<|message|>"
FINAL: Final = "<|channel|>final<|message|>"
COMMENTARY: Final = "<|channel|>commentary"
FUNCTIONS: Final = "functions."
# The one form in which calls reach their reader: `CALL_HEAD name MESSAGE arguments CALL_END`.
CALL_HEAD: Final = f"{COMMENTARY} to={FUNCTIONS}"
CALL_END: Final = "<|call|>"
