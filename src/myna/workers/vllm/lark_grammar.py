"""A constraint as one Lark grammar, the only composed form that vLLM takes, with a thought before the answer.

llguidance's own form, which `scheduling.grammar_text` writes, is a list of grammars that refer to each other.
Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from myna.core.requests import Thought

# Literals, regular expressions, and what `%json` announces.
_PART: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|/(?:[^/\\\n]|\\.)+/|%json ')
_LAZY: Final = "[lazy]"
_MARK: Final = re.compile(r"<\[\d+\]>")


def to_lark(grammar: str, special: Mapping[str, int], thought: Thought | None = None) -> str:
    """`special` are the tokens that are part of no text for vLLM's tokenizer, by their names: literals of the
    grammar that name them become references to the tokens. With a `thought`, the grammar applies after its
    end; one for harmony has its own rules for thoughts."""
    first, *others = json.loads(grammar)["grammars"]
    whole = f"start: {_nested(first)}\n"
    if first.get("lark_grammar"):
        whole = "\n".join(_with_tokens(line, special) for line in first["lark_grammar"].splitlines()) + "\n"
    for other in others:
        # Myna's own grammars refer to others at the end of a line only.
        whole = re.sub(rf"(?m) @{other['name']}$", f" {other['name']}", whole)
        whole += f"{other['name']}: {_nested(other)}\n"
    if thought is None or thought.is_harmony:
        return whole
    return f"start: {_before(thought)} answer\n{_thought(thought, special)}answer: %lark {{\n{whole}}}\n"


def _nested(grammar: Mapping[str, Any]) -> str:
    if grammar.get("lark_grammar"):
        return f"%lark {{\n{grammar['lark_grammar']}\n}}"
    return f"%json {json.dumps(grammar['json_schema'], ensure_ascii=False)}"


def _before(thought: Thought) -> str:
    if thought.is_open:
        return "thinking"
    return "(begin thinking)?" if thought.is_optional else "begin thinking"


def _thought(thought: Thought, special: Mapping[str, int]) -> str:
    """Any text up to the end mark."""
    end = _literal(thought.end, special)
    begin = "" if thought.is_open else f"begin: {_literal(thought.begin, special)}\n"
    if _MARK.search(end):
        return f"{begin}thinking: /(.|\\n)*/ {end}\n"
    return f"{begin}thinking{_LAZY}: /(.|\\n)*/ {end}\n"


def _with_tokens(line: str, special: Mapping[str, int]) -> str:
    """A line of a grammar with references to tokens. What is lazy because of one needn't be: it is part of no
    text."""
    parts: list[str] = []
    at = 0
    while found := _PART.search(line, at):
        parts.append(line[at : found.start()])
        at = found.end()
        if found[0].startswith("%json"):
            _, at = json.JSONDecoder().raw_decode(line, found.end())
            parts.append(line[found.start() : at])
        elif found[0].startswith('"'):
            is_marked = any(name in found[0] for name in special)
            parts.append(f"({_literal(json.loads(found[0]), special)})" if is_marked else found[0])
        else:
            parts.append(found[0])
    whole = "".join([*parts, line[at:]])
    return whole.replace(_LAZY, "", 1) if _MARK.search(whole) and not _MARK.search(line) else whole


def _literal(text: str, special: Mapping[str, int]) -> str:
    """The text in Lark."""
    if not special:
        return json.dumps(text, ensure_ascii=False)
    names = re.split("(" + "|".join(map(re.escape, sorted(special, key=len, reverse=True))) + ")", text)
    return " ".join(
        f"<[{special[name]}]>" if name in special else json.dumps(name, ensure_ascii=False)
        for name in names
        if name
    )
