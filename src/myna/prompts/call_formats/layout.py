"""Texts with places for a call's name and id: written, matched leniently, and turned into grammar rules."""

import json
import re
from dataclasses import dataclass
from typing import Final, Literal

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]+")
_PLACE: Final = re.compile(r"\{(name|id|index|number)\}|«(.*?)»", re.DOTALL)
_MAX_CHARS: Final = 4096  # a longer text between two markers, such as endless white space, isn't a call
_ID_RULE: Final = "/[A-Za-z0-9_-]{1,40}/"
_NUMBER_RULE: Final = "/[0-9]{1,4}/"

_Place = Literal["text", "name", "id", "index", "number", "optional"]


@dataclass(frozen=True, slots=True)
class Match:
    """`is_partial`: the text may become a match. `end` is where it ends, `name` the text at the call's
    name."""

    end: int = 0
    name: str = ""
    is_partial: bool = False


_PARTIAL: Final = Match(is_partial=True)


class Layout:
    """A text with places: `{name}`, `{id}`, `{index}` (counted from 0), `{number}` (from 1), and an optional
    part in `«»`.

    Matching ignores the amount of white space, takes some around punctuation, and leaves it at the
    end.
    """

    def __init__(self, text: str) -> None:
        self.parts: list[tuple[_Place, str]] = []
        at = 0
        for place in _PLACE.finditer(text):
            self._add_text(text[at : place.start()])
            if place[1]:
                self.parts.append((place[1], ""))  # type: ignore[arg-type]
            else:
                self.parts.append(("optional", place[2]))
            at = place.end()
        self._add_text(text[at:])

    def write(self, *, name: str = "", id: str = "", index: int = 0) -> str:
        values = {"name": name, "id": id, "index": str(index), "number": str(index + 1)}
        return "".join(
            Layout(text).write(name=name, id=id, index=index)
            if place == "optional"
            else values.get(place, text)
            for place, text in self.parts
        )

    def rule(self, name: str) -> str:
        """The text of a call of that tool as Lark."""
        rules = {"id": _ID_RULE, "index": _NUMBER_RULE, "number": _NUMBER_RULE}
        out: list[str] = []
        literal = ""
        for place, text in self.parts:
            if place in ("text", "name"):
                literal += name if place == "name" else text
                continue
            out.append(quoted(literal))
            literal = ""
            out.append(f"({Layout(text).rule(name)})?" if place == "optional" else rules[place])
        return " ".join(part for part in [*out, quoted(literal)] if part)

    def match(self, text: str, start: int = 0) -> Match | None:
        """A match at `start`; None if the text there can't become one."""
        if len(text) - start > _MAX_CHARS and text[start:].isspace():
            return None
        at, name = start, ""
        for place, part in self.parts:
            found = _match_part(place, part, text, at)
            if found is None:
                if place == "optional":
                    continue
                return None
            if found.is_partial:
                return found
            at, name = found.end, found.name or name
        return Match(at, name)

    def _add_text(self, text: str) -> None:
        if text:
            self.parts.append(("text", text))


def quoted(text: str) -> str:
    """A literal in Lark; "" for an empty text."""
    return json.dumps(text, ensure_ascii=False) if text else ""


def _match_part(place: _Place, part: str, text: str, at: int) -> Match | None:
    if place == "text":
        return _match_text(part, text, at)
    if place == "optional":
        return Layout(part).match(text, at)
    while at < len(text) and text[at].isspace():
        at += 1
    found = (_NAME if place == "name" else _ID).match(text, at)
    if found is None:
        return _PARTIAL if at >= len(text) else None
    if found.end() == len(text):
        return _PARTIAL
    return Match(found.end(), found[0] if place == "name" else "")


def _match_text(part: str, text: str, at: int) -> Match | None:
    before = " "
    for char in part:
        if char.isspace():
            before = char
            continue
        if at < len(text) and text[at].isspace() and not (char.isalnum() and before.isalnum()):
            while at < len(text) and text[at].isspace():
                at += 1
        if at >= len(text):
            return _PARTIAL
        if text[at] != char:
            return None
        before = char
        at += 1
    return Match(at)
