"""Translates regular expressions of JSON schemas (ECMA-262 with its `u` flag, and some of what it allows
without) to the syntax of grammars, which is that of Rust's `regex`. Pure.

Both syntaxes look alike but differ in meaning, so each escape, class and dot is written out.
"""

import re
from dataclasses import dataclass
from typing import Final

_MAX_NESTING: Final = 100  # groups; the grammar's parser recurses, and so does this one
_MAX_DIGITS: Final = 9  # of a repetition, which is a 32-bit number for the grammar
_SPACES: Final = r"\t-\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}"
_CLASSES: Final = {"d": "0-9", "w": "0-9A-Za-z_", "s": _SPACES}
_LINE_ENDS: Final = r"\n\r\u{2028}\u{2029}"
_ANY: Final = r"[\u{0}-\u{10ffff}]"
_CONTROLS: Final = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
# Of Rust and Python, for schemas made there; errors in ECMA-262.
_ANCHORS: Final = {"A": "^", "z": "$", "Z": "$"}
_QUANTIFIER: Final = re.compile(r"(?:[*+?]|\{(\d+)(,?)(\d*)\})\??", re.ASCII)
_GROUP: Final = re.compile(r"\((?:\?(?::|P?<[^\W\d][\w$]*>|(i?)(s?):))?")
_LOOK_AROUND: Final = re.compile(r"\(\?<?[=!]")
_FLAGS: Final = re.compile(r"\(\?(?=[is])(i?)(s?)\)")
_HEX: Final = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,8})\}")
_LOW_HALF: Final = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_PROPERTY: Final = re.compile(r"[pP]\{\w+(?:=\w+)?\}", re.ASCII)


class UnsupportedPattern(Exception):
    """The regular expression has no translation; the text says why."""


def translate(pattern: str) -> str:
    """The regular expression of the same strings for a grammar, to be searched for in them. Raises
    `UnsupportedPattern`."""
    return _parsed(_Parser(pattern))


def translate_whole(pattern: str) -> str:
    """The same, to be matched with whole strings; the pattern may have been translated before."""
    return f"(?:{_parsed(_Parser(pattern, is_whole=True))})"


def _parsed(parser: "_Parser") -> str:
    part = parser.alternatives(0)
    if not parser.is_at_end:
        raise UnsupportedPattern("it has an unmatched ')'")
    return part.text


@dataclass(slots=True)
class _Part:
    """A translated part, and whether it has an anchor at its start or its end."""

    text: str
    has_start: bool = False
    has_end: bool = False


class _Parser:
    """One pass over a pattern. Methods begin at `position` and leave it behind what they have read.

    `is_whole`: what may surround the pattern in a string is written out, instead of anchors."""

    def __init__(self, pattern: str, *, is_whole: bool = False) -> None:
        self._pattern = pattern
        self._is_whole = is_whole
        self.position = 0
        self._prefix, self._dot_all = "", False
        if flags := _FLAGS.match(pattern):
            self.position = flags.end()
            self._prefix, self._dot_all = "(?i)" if flags[1] else "", bool(flags[2])

    def alternatives(self, depth: int) -> _Part:
        """Up to the end of the group or of the pattern."""
        if depth > _MAX_NESTING:
            raise UnsupportedPattern(f"its groups are nested more than {_MAX_NESTING} levels deep")
        parts = [self._sequence(depth)]
        while self._takes("|"):
            parts.append(self._sequence(depth))
        has_start = any(part.has_start for part in parts)
        has_end = any(part.has_end for part in parts)
        if self._is_whole:
            for part in parts:
                part.text = part.text.removeprefix("^").removesuffix("$")
                # Anchors are at the ends of the pattern, so that nothing else can stand next to the others.
                before = f"{_ANY}*" if (has_start or depth == 0) and not part.has_start else ""
                after = f"{_ANY}*" if (has_end or depth == 0) and not part.has_end else ""
                part.text = f"{before}{part.text}{after}"
        text = "|".join(part.text for part in parts)
        return _Part(f"{self._prefix if depth == 0 else ''}{text}", has_start, has_end)

    @property
    def is_at_end(self) -> bool:
        return self.position == len(self._pattern)

    def _sequence(self, depth: int) -> _Part:
        texts: list[str] = []
        whole = _Part("")
        while self.position < len(self._pattern) and self._pattern[self.position] not in "|)":
            part = self._repeated(depth)
            if part.text in ("^", "$") and texts[-1:] == [part.text]:
                continue
            if (part.has_start and texts) or (whole.has_end and part.text != "$"):
                raise UnsupportedPattern("anchors (^ and $) are supported at its ends only")
            whole.has_start |= part.has_start
            whole.has_end |= part.has_end
            texts.append(part.text)
        whole.text = "".join(texts)
        return whole

    def _repeated(self, depth: int) -> _Part:
        part = self._atom(depth)
        quantifier = _QUANTIFIER.match(self._pattern, self.position)
        if quantifier is None:
            return part
        if part.has_start or part.has_end:
            raise UnsupportedPattern("an anchor (^ or $) can't be repeated")
        self.position = quantifier.end()
        if _QUANTIFIER.match(self._pattern, self.position):
            raise UnsupportedPattern("a repetition can't be repeated without a group")
        numbers = quantifier[1] or "0", quantifier[3] or quantifier[1] or "0"
        if max(map(len, numbers)) > _MAX_DIGITS or int(numbers[0]) > int(numbers[1]):
            raise UnsupportedPattern("it has a repetition out of range")
        part.text += quantifier[0].removesuffix("?") if len(quantifier[0]) > 1 else quantifier[0]
        return part

    def _atom(self, depth: int) -> _Part:
        char = self._pattern[self.position]
        if char == "(":
            return self._group(depth)
        if char == "[":
            return _Part(self._class())
        if char == "\\":
            return self._escape()
        if _QUANTIFIER.match(self._pattern, self.position):
            raise UnsupportedPattern("it has a repetition of nothing")
        self.position += 1
        if char in "^$":
            return _anchor(char)
        if char == ".":
            return _Part(_ANY if self._dot_all else f"[^{_LINE_ENDS}]")
        return _Part(_literal(char))

    def _group(self, depth: int) -> _Part:
        if _LOOK_AROUND.match(self._pattern, self.position):
            raise UnsupportedPattern("look-ahead and look-behind are not supported")
        begin = _GROUP.match(self._pattern, self.position)
        assert begin is not None
        if self._pattern[begin.end() : begin.end() + 1] == "?":
            raise UnsupportedPattern("it has a kind of group that is not supported")
        self.position = begin.end()
        outer = self._dot_all
        self._dot_all = outer or bool(begin[2])
        inside = self.alternatives(depth + 1)
        self._dot_all = outer
        if not self._takes(")"):
            raise UnsupportedPattern("it has an unmatched '('")
        inside.text = f"(?{begin[1] or ''}:{inside.text})"
        return inside

    def _escape(self) -> _Part:
        """An escape outside a class."""
        char = self._pattern[self.position + 1 : self.position + 2]
        if char in _ANCHORS:
            self.position += 2
            return _anchor(_ANCHORS[char])
        if char in ("b", "B"):
            raise UnsupportedPattern(f"word boundaries (\\{char}) are not supported")
        if char == "k" or "1" <= char <= "9":
            raise UnsupportedPattern(f"back-references (\\{char}) are not supported")
        if (named := self._named_class()) is not None:
            return _Part(named)
        return _Part(_literal(self._escaped_char()))

    def _named_class(self) -> str | None:
        r"""`\d`, `\p{L}` and the like; None if the escape is another."""
        name = self._pattern[self.position + 1 : self.position + 2]
        if name in ("p", "P"):
            found = _PROPERTY.match(self._pattern, self.position + 1)
            if found is None:
                raise UnsupportedPattern(f"\\{name} needs a property in braces")
            self.position = found.end()
            return f"\\{found[0]}"
        inside = _CLASSES.get(name.lower())
        if inside is None:
            return None
        self.position += 2
        return f"[{'^' if name.isupper() else ''}{inside}]"

    def _escaped_char(self) -> str:
        r"""The character of an escape such as `\n`, `\u0041` or `\.`."""
        self.position += 1
        char = self._pattern[self.position : self.position + 1]
        if found := _HEX.match(self._pattern, self.position):
            self.position = found.end()
            return self._code_point(int(found[1] or found[2] or found[3], 16))
        following = self._pattern[self.position + 1 : self.position + 2]
        if char == "c" and following.isascii() and following.isalpha():
            self.position += 2
            return chr(ord(following) % 32)
        self.position += 1
        if char == "0" and not following.isdecimal():
            return "\0"
        if char in _CONTROLS:
            return _CONTROLS[char]
        if not char or (char.isascii() and char.isalnum()):
            raise UnsupportedPattern(f"it has an unknown escape (\\{char})")
        return char

    def _code_point(self, code: int) -> str:
        if 0xD800 <= code < 0xDC00 and (low := _LOW_HALF.match(self._pattern, self.position)):
            self.position = low.end()
            code = 0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00
        if code > 0x10FFFF:
            raise UnsupportedPattern("it has a character beyond Unicode")
        return chr(code)

    def _class(self) -> str:
        """A class in brackets."""
        self.position += 1
        is_negated, items = self._takes("^"), list[str]()
        while not self._takes("]"):
            first = self._class_item()
            if not self._begins_range():
                items.append(_literal(first) if len(first) == 1 else first)
                continue
            self.position += 1
            last = self._class_item()
            if len(first) > 1 or len(last) > 1:  # not a range, since one of its ends is a class
                items += (_literal(item) if len(item) == 1 else item for item in (first, "-", last))
            elif first > last:
                raise UnsupportedPattern("it has a range out of order")
            else:
                items.append(f"{_literal(first)}-{_literal(last)}")
        if not items and not is_negated:
            raise UnsupportedPattern("an empty class ([]) matches nothing")
        return f"[{'^' if is_negated else ''}{''.join(items)}]" if items else _ANY

    def _begins_range(self) -> bool:
        following = self._pattern[self.position : self.position + 2]
        return len(following) == 2 and following[0] == "-" and following[1] != "]"

    def _class_item(self) -> str:
        """A character, or a class of several characters as grammars write it."""
        char = self._pattern[self.position : self.position + 1]
        if not char:
            raise UnsupportedPattern("it has an unmatched '['")
        if char != "\\":
            self.position += 1
            return char
        if self._pattern[self.position + 1 : self.position + 2] == "b":
            self.position += 2
            return "\b"
        return self._named_class() or self._escaped_char()

    def _takes(self, char: str) -> bool:
        """Whether that character is next, which is then read."""
        is_next = self._pattern.startswith(char, self.position)
        self.position += is_next
        return is_next


def _anchor(char: str) -> _Part:
    return _Part(char, has_start=char == "^", has_end=char == "$")


def _literal(char: str) -> str:
    """A character as itself, in a class or outside."""
    if "\ud800" <= char <= "\udfff":
        raise UnsupportedPattern("half of a surrogate pair is not a character")
    return char if char.isalnum() or ord(char) > 0x7F else f"\\u{{{ord(char):x}}}"
