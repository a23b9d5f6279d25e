"""The grammar of harmony's channels, for llguidance."""

import json
from typing import Final

from myna.core.harmony import ANALYSIS, END, FINAL, START

# Analysis as often as the model likes, each followed by the beginning of the next message.
ANALYSIS_RULES: Final = (
    f"analysis: analysis_text {json.dumps(START)}\n"
    f"analysis_text[lazy]: {json.dumps(ANALYSIS)} /(.|\\n)*/ {json.dumps(END)}\n"
)


def final_channel(grammar: str) -> str:
    """The grammar of an answer whose final message follows that grammar."""
    first, *others = json.loads(grammar)["grammars"]
    lark = f"start: analysis* {json.dumps(FINAL)} @answer\n{ANALYSIS_RULES}"
    return json.dumps(
        {"grammars": [{"lark_grammar": lark}, {"name": "answer", **first}, *others]}, ensure_ascii=False
    )
